package cozy

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// The places of an export's entries.
const (
	dataDir       = "My Cozy/Data/"
	filesDir      = "My Cozy/Files/"
	instanceEntry = dataDir + "instance.json"
)

const (
	// maxDocument bounds one document; larger ones are reported and left out.
	maxDocument = 64 << 20
	// maxRatio bounds how much smaller a large document may be in the zip: JSON packs 5 to 20 times, seldom 100 times.
	maxRatio = 500
)

type entryKind int

const (
	unknownEntry entryKind = iota
	documentEntry
	contentEntry
	folderEntry // of a zip that somebody packed again; says nothing
)

// entry is one entry of a part. Its name only says which doctype a document is of and, when a zip was packed again
// in another order, whose bytes a content is: it is never the path of anything.
type entry struct {
	*zip.File
	kind    entryKind
	doctype string
	id      string // from the name; the document's own id goes before it
}

func classify(f *zip.File) entry {
	e := entry{File: f}
	switch name, isData := strings.CutPrefix(f.Name, dataDir); {
	case strings.HasSuffix(f.Name, "/"):
		e.kind = folderEntry
	case f.Name == instanceEntry:
		e.kind, e.doctype, e.id = documentEntry, doctypeInstance, "instance"
	case isData && strings.HasSuffix(name, ".json"):
		doctype, id, ok := strings.Cut(strings.TrimSuffix(name, ".json"), "/")
		if e.doctype, e.id = unescape(doctype), unescape(id); ok && doctypeForm.MatchString(e.doctype) && id != "" {
			e.kind = documentEntry
		}
	case strings.HasPrefix(f.Name, filesDir):
		e.kind = contentEntry
	}
	return e
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// part is one zip of an export.
type part struct {
	path    string
	file    *os.File
	entries []entry
}

func openPart(path string) (*part, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r, err := zip.NewReader(file, info.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // no path of a zip is ever used as one
		err = fmt.Errorf("%w: %s is not a whole zip file (%v); download this part again", formats.ErrInvalid, filepath.Base(path), err)
		return nil, errors.Join(err, file.Close())
	}
	p := &part{path: path, file: file}
	for _, f := range r.File {
		p.entries = append(p.entries, classify(f))
	}
	if !slices.ContainsFunc(p.entries, func(e entry) bool { return e.kind == documentEntry || e.kind == contentEntry }) {
		err := fmt.Errorf("%w: %s is not a part of a Cozy's export: it has neither %q nor %q", formats.ErrInvalid, filepath.Base(path), dataDir, filesDir)
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

// first reports whether the part is the one that holds everything but contents.
func (p *part) first() bool {
	return slices.ContainsFunc(p.entries, func(e entry) bool { return e.Name == instanceEntry })
}

// begins returns the doctype and id of the first file or version of a part: that is where an export was cut.
func (p *part) begins() (string, string) {
	for _, e := range p.entries {
		if e.kind == documentEntry && (e.doctype == doctypeFiles || e.doctype == doctypeVersions) {
			return e.doctype, e.id
		}
	}
	return "", ""
}

// cursor returns the same as a manifest writes it.
func (p *part) cursor() string {
	doctype, id := p.begins()
	return doctype + "/" + id
}

// order puts the parts in the order in which they were cut: the first one, then by the cursor, in which files come
// before versions and ids are sorted.
func order(parts []*part) error {
	var firsts []string
	for _, p := range parts {
		if p.first() {
			firsts = append(firsts, filepath.Base(p.path))
		}
	}
	switch {
	case len(firsts) == 0:
		return fmt.Errorf("%w: the first part of the export, which holds instance.json, is missing; give all parts", formats.ErrInvalid)
	case len(firsts) > 1:
		return fmt.Errorf("%w: %s are each the first part of an export; give the parts of one export, each once",
			formats.ErrInvalid, strings.Join(firsts, " and "))
	}
	slices.SortFunc(parts, func(a, b *part) int {
		if a.first() || b.first() {
			return cmp.Compare(btoi(b.first()), btoi(a.first()))
		}
		aDoctype, aID := a.begins()
		bDoctype, bID := b.begins()
		return cmp.Or(strings.Compare(aDoctype, bDoctype), strings.Compare(aID, bID), strings.Compare(a.path, b.path))
	})
	for i := 2; i < len(parts); i++ {
		if a, b := parts[i-1], parts[i]; a.cursor() == b.cursor() {
			return fmt.Errorf("%w: %s and %s begin with the same document; give each part once",
				formats.ErrInvalid, filepath.Base(a.path), filepath.Base(b.path))
		}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// errUnreadable is the parent of what is wrong with a single entry: the rest of the export can still be read.
var errUnreadable = errors.New("the entry cannot be read")

// open opens the bytes of an entry.
func (e entry) open() (io.ReadCloser, error) {
	if e.Flags&1 != 0 {
		return nil, fmt.Errorf("%w: it is encrypted, which exports of a Cozy are not", errUnreadable)
	}
	r, err := e.Open()
	if err != nil {
		return nil, damage(err)
	}
	return r, nil
}

// document reads the bytes of a document, within limits.
func (e entry) document() ([]byte, error) {
	if e.UncompressedSize64 > maxDocument {
		return nil, fmt.Errorf("%w: it says that it has %d bytes, more than the %d that a document may have", errUnreadable, e.UncompressedSize64, maxDocument)
	}
	if e.UncompressedSize64 > 1<<20 && e.UncompressedSize64/max(1, e.CompressedSize64) > maxRatio {
		return nil, fmt.Errorf("%w: it says that it is packed %d times smaller, which no document is", errUnreadable, e.UncompressedSize64/max(1, e.CompressedSize64))
	}
	r, err := e.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, damage(err)
	}
	if len(text) > maxDocument {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errUnreadable, maxDocument)
	}
	return text, nil
}

// damage tells an entry that is broken from a disk that is: only the latter ends a walk.
func damage(err error) error {
	var system *os.PathError
	if errors.As(err, &system) {
		return err
	}
	return fmt.Errorf("%w: %v", errUnreadable, err)
}

// manifest is what a Cozy says about an export, in JSON:API.
type manifest struct {
	Data struct {
		Type       string             `json:"type"`
		ID         string             `json:"id"`
		Attributes manifestAttributes `json:"attributes"`
	} `json:"data"`
}

type manifestAttributes struct {
	Domain           string   `json:"domain"`
	PartsSize        int64    `json:"parts_size"`
	PartsCursors     []string `json:"parts_cursors"`
	State            string   `json:"state"`
	CreatedAt        string   `json:"created_at"`
	ExpiresAt        string   `json:"expires_at"`
	TotalSize        int64    `json:"total_size"`
	CreationDuration int64    `json:"creation_duration"` // nanoseconds
}

const exportsType = "io.cozy.exports"

func readManifest(path string) (*manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var m manifest
	if err := json.NewDecoder(io.LimitReader(file, 16<<20)).Decode(&m); err != nil || m.Data.Type != exportsType {
		return nil, fmt.Errorf("%w: %s is not the manifest of a Cozy's export: %v", formats.ErrInvalid, filepath.Base(path), err)
	}
	if state := m.Data.Attributes.State; state != "done" {
		return nil, fmt.Errorf("%w: %s says that the export is %q; wait until it is done and download it again", formats.ErrInvalid, filepath.Base(path), state)
	}
	return &m, nil
}

// check compares the parts with what the manifest lists, and names those that are missing or too many.
func (m *manifest) check(parts []*part, domain string) error {
	a := m.Data.Attributes
	if a.Domain != "" && domain != "" && a.Domain != domain {
		return fmt.Errorf("%w: the manifest is of %s, the parts are of %s", formats.ErrInvalid, a.Domain, domain)
	}
	var missing, foreign []string
	for i, cursor := range a.PartsCursors {
		if !slices.ContainsFunc(parts[1:], func(p *part) bool { return p.cursor() == cursor }) {
			missing = append(missing, fmt.Sprintf("part %d (which begins with %s)", i+1, cursor))
		}
	}
	for _, p := range parts[1:] {
		if !slices.Contains(a.PartsCursors, p.cursor()) {
			foreign = append(foreign, filepath.Base(p.path))
		}
	}
	switch {
	case len(missing) > 0:
		return fmt.Errorf("%w: of the %d parts of the export, %s missing", formats.ErrInvalid, len(a.PartsCursors)+1, areMissing(missing))
	case len(foreign) > 0:
		return fmt.Errorf("%w: the manifest does not list %s", formats.ErrInvalid, strings.Join(foreign, ", "))
	}
	return nil
}

func areMissing(list []string) string {
	if len(list) == 1 {
		return list[0] + " is"
	}
	return strings.Join(list, ", ") + " are"
}
