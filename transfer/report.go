package transfer

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Report says what became of every record of a transfer. Its counts of what is held are read from the target after
// the transfer, not added up while it ran.
type Report struct {
	ExportID  string          `json:"export_id,omitempty"` // empty for a copy without an archive
	Sequence  int             `json:"sequence"`
	Root      formats.Hash    `json:"root"`
	Source    archive.Party   `json:"source"`
	Signer    *archive.Signer `json:"signer,omitempty"`
	Person    archive.Person  `json:"person"`
	Started   time.Time       `json:"started"`
	Finished  time.Time       `json:"finished"`
	Unchanged bool            `json:"unchanged,omitempty"` // this archive had been loaded before, and nothing was missing

	Results map[formats.Dataset]map[operators.Result]int64 `json:"results"`
	Held    map[formats.Dataset]formats.Count              `json:"held"`
	Renamed []Renaming                                     `json:"renamed,omitempty"`
	// Kept lists records that the source deleted, but that were changed here meanwhile.
	Kept []Renaming `json:"kept,omitempty"`
	// Refused lists what the target could not hold, or holds with a difference.
	Refused []formats.Omission `json:"refused,omitempty"`
	// Omitted lists what the source had left out already.
	Omitted []formats.Omission `json:"omitted,omitempty"`
	// StateRoot says whether the records, as the target lists them, add up to the root that the source signed;
	// absent where the target cannot tell.
	StateRoot *bool `json:"state_root_matches,omitempty"`
	// State is what they add up to; zero where StateRoot is absent.
	State formats.Hash `json:"-"`
}

// Renaming is a record that is held under another id or path than it came with.
type Renaming struct {
	Dataset formats.Dataset `json:"dataset"`
	ID      string          `json:"id"`
	Path    string          `json:"path,omitempty"`
	NewID   string          `json:"new_id,omitempty"`
	NewPath string          `json:"new_path,omitempty"`
}

func (r *Report) add(put formats.Record, out operators.Outcome) {
	if r.Results == nil {
		r.Results = map[formats.Dataset]map[operators.Result]int64{}
	}
	if r.Results[put.Dataset] == nil {
		r.Results[put.Dataset] = map[operators.Result]int64{}
	}
	r.Results[put.Dataset][out.Result]++
	renaming := Renaming{put.Dataset, put.ID, put.Path, out.Record.ID, out.Record.Path}
	switch out.Result {
	case operators.Renamed:
		r.Renamed = append(r.Renamed, renaming)
	case operators.Kept:
		r.Kept = append(r.Kept, renaming)
	}
	if out.Omission != nil {
		r.Refused = append(r.Refused, *out.Omission)
	}
}

// settle takes back what a target's Finish made good.
func (r *Report) settle(load operators.Load) {
	settling, ok := load.(operators.Settling)
	if !ok {
		return
	}
	for _, s := range settling.Settled() {
		at := slices.IndexFunc(r.Renamed, func(n Renaming) bool { return n.Dataset == s.Dataset && n.ID == s.ID })
		if at < 0 {
			continue
		}
		if s.Omission != nil {
			r.Refused = append(r.Refused, *s.Omission)
		}
		if n := &r.Renamed[at]; s.Record.ID != n.ID && s.Record.Kind != formats.KindFolder {
			n.NewPath = s.Record.Path
			continue
		}
		r.Renamed = slices.Delete(r.Renamed, at, at+1)
		r.Results[s.Dataset][operators.Renamed]--
		r.Results[s.Dataset][operators.Updated]++
	}
}

// nothingNew reports whether every record was there already.
func (r *Report) nothingNew() bool {
	for _, results := range r.Results {
		for result, n := range results {
			if n > 0 && result != operators.Present {
				return false
			}
		}
	}
	return true
}

// Lost reports how many records are not at the target although they came.
func (r *Report) Lost() int64 {
	var n int64
	for _, results := range r.Results {
		n += results[operators.Refused]
	}
	return n
}

// Write writes the report for people to read.
func (r *Report) Write(w io.Writer) error {
	p := &printer{w: w}
	if r.Unchanged {
		p.f("This archive had been loaded before: there was nothing to do.\n")
	}
	p.f("%-10s %9s %9s %15s\n", "dataset", "records", "files", "bytes")
	var total formats.Count
	for _, d := range formats.Datasets() {
		if c, ok := r.Held[d]; ok {
			p.f("%-10s %9d %9d %15d\n", d, c.Records, c.Files, c.Bytes)
			total.Records, total.Files, total.Bytes = total.Records+c.Records, total.Files+c.Files, total.Bytes+c.Bytes
		}
	}
	p.f("%-10s %9d %9d %15d\n", "held", total.Records, total.Files, total.Bytes)
	p.results(r.Results)
	if r.StateRoot != nil && *r.StateRoot {
		p.f("The records held add up to exactly the state that the source signed.\n")
	}
	for _, n := range r.Renamed {
		p.f("renamed: %s %s -> %s\n", n.Dataset, orID(n.Path, n.ID), orID(n.NewPath, n.NewID))
	}
	for _, n := range r.Kept {
		p.f("kept: %s %s was deleted at the source, but changed here meanwhile\n", n.Dataset, orID(n.Path, n.ID))
	}
	p.omissions("at the target", r.Refused)
	p.omissions("left out by the source", r.Omitted)
	return p.err
}

func orID(path, id string) string {
	if path != "" {
		return path
	}
	return id
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) results(results map[formats.Dataset]map[operators.Result]int64) {
	sum := map[operators.Result]int64{}
	for _, byResult := range results {
		for result, n := range byResult {
			sum[result] += n
		}
	}
	maps.DeleteFunc(sum, func(_ operators.Result, n int64) bool { return n == 0 })
	for i, result := range slices.Sorted(maps.Keys(sum)) {
		if i > 0 {
			p.f(", ")
		}
		p.f("%d %s", sum[result], result)
	}
	if len(sum) > 0 {
		p.f("\n")
	}
}

func (p *printer) omissions(where string, list []formats.Omission) {
	for _, line := range Omissions(list) {
		p.f("%s %s: %s\n", line.Kind(), where, line)
	}
}

// OmissionGroup is a fault or gap that several records share.
type OmissionGroup struct {
	First formats.Omission
	Of    []string // paths or ids of the first few
	Count int64
}

const mostNamed = 3

// Omissions gathers omissions of the same kind for people to read, in the order of the first of each.
func Omissions(list []formats.Omission) []*OmissionGroup {
	var groups []*OmissionGroup
	known := map[formats.Omission]*OmissionGroup{}
	for _, o := range list {
		kind := o
		kind.ID, kind.Path = "", ""
		g := known[kind]
		if g == nil {
			g = &OmissionGroup{First: o}
			known[kind] = g
			groups = append(groups, g)
		}
		g.Count++
		if len(g.Of) < mostNamed {
			g.Of = append(g.Of, orID(o.Path, o.ID))
		}
	}
	return groups
}

// Kind is "missing", or "differs" where the record itself was carried.
func (g *OmissionGroup) Kind() string {
	if g.First.Lost {
		return "missing"
	}
	return "differs"
}

// String is one line.
func (g *OmissionGroup) String() string {
	text := fmt.Sprintf("%s %s", g.First.Dataset, strings.Join(g.Of, ", "))
	if more := g.Count - int64(len(g.Of)); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	text += ": " + g.First.Reason
	if g.First.Advice != "" {
		text += " " + g.First.Advice
	}
	return text
}
