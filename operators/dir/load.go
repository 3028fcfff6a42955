package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/text/unicode/norm"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Load is a load into a folder. It collects blobs and records under .passerelle/staging, together with the steps that
// put them in place; Finish carries the steps out.
type Load struct {
	target *Target
	origin operators.Origin
	names  names
	fold   func(string) string // makes equal what is one name on this disk
	lock   *flock.Flock
	done   bool // finished or given up

	stage   *os.Root // .passerelle/staging
	records *lineLog // every record that is held, and those that came
	base    int64    // in records: what was held before this load ends here
	brought *lineLog // what this series brought, see claim
	adopted *lineLog // what was the person's own before a series brought the same
	plan    *plan
	parents *parents

	held    map[digest]held   // records, by their dataset and id here
	claims  map[digest]claim  // what this series brought, by its dataset and id there
	spots   map[digest]spot   // places in the tree that records have, or that this load takes or frees, by location
	inTree  map[digest]place  // blobs in the tree before this load: the line of a record that names it
	staged  map[digest]int    // blobs sent in this load, and how often each was used
	next    map[digest]int    // where to begin counting for a name that is taken
	renamed map[digest]string // ids that records of this series have here, where they differ

	copies   int    // copies made of staged blobs
	orphans  bool   // some blob outside of the tree may have lost its record
	lastDir  string // the folder resolved last, and what became of it
	lastPath string
	line     []byte
	buf      []byte
}

// held is a record that the folder holds.
type held struct {
	place
	line    digest // of its line
	claims  int32  // how many series brought it; none: it is the person's own now
	dataset int8   // index in formats.Datasets
}

// claim is a record that the series brought.
type claim struct {
	place        // of its line in brought: dataset, id, hash of the line and of the blob as they came, id here
	line  digest // of the record as it came
	here  digest // key of the record that is held
}

// spot is what records take or free in the tree; what else is there, the disk knows.
type spot struct {
	file, dir bool  // taken, by a record's file or by a folder that is there or will be made
	freed     bool  // the file that is on disk there is one that this load removes
	folders   int32 // records of the folder here
}

func newLoad(ctx context.Context, t *Target, layout *layout, origin operators.Origin) (*Load, error) {
	l := &Load{
		target: t, origin: origin, names: layout.Names, fold: func(s string) string { return s }, parents: &parents{root: t.root},
		held: map[digest]held{}, claims: map[digest]claim{}, spots: map[digest]spot{}, inTree: map[digest]place{},
		staged: map[digest]int{}, next: map[digest]int{}, renamed: map[digest]string{}, buf: make([]byte, 256<<10),
	}
	if folds(t.root) {
		l.fold = func(s string) string { return strings.ToLower(norm.NFC.String(s)) }
	}
	err := l.prepareStage()
	if err == nil {
		err = l.readHeld(ctx, layout)
	}
	if err == nil {
		err = l.readClaims()
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// prepareStage makes the staging folder; of what an earlier load left there, whole blobs stay.
func (l *Load) prepareStage() error {
	root := l.target.root
	if err := root.MkdirAll(stagingDir+"/"+stagedBlobs, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", stagingDir, err)
	}
	left, err := readNames(root, stagingDir)
	if err != nil {
		return err
	}
	for _, name := range left {
		if name != stagedBlobs {
			err = errors.Join(err, root.RemoveAll(stagingDir+"/"+name))
		}
	}
	if err != nil {
		return err
	}
	if l.stage, err = root.OpenRoot(stagingDir); err != nil {
		return err
	}
	if l.records, err = newLineLog(l.stage, "records"); err != nil {
		return err
	}
	if l.brought, err = newLineLog(l.stage, "claims"); err != nil {
		return err
	}
	if l.adopted, err = newLineLog(l.stage, "adopted"); err != nil {
		return err
	}
	l.plan, err = newPlan(l.stage)
	return err
}

// readHeld indexes what the folder holds.
func (l *Load) readHeld(ctx context.Context, layout *layout) error {
	dataset, last := int8(-1), formats.Dataset("")
	index := map[formats.Dataset]int8{}
	for i, d := range formats.Datasets() {
		index[d] = int8(i)
	}
	err := layout.eachRecord(func(line []byte, r *formats.Record) error {
		if r.Dataset != last {
			dataset, last = index[r.Dataset], r.Dataset
		}
		at, err := l.records.add(line)
		if err != nil {
			return err
		}
		l.hold(r, held{place: at, line: short(formats.HashOf(line)), dataset: dataset})
		return ctx.Err()
	})
	l.base = l.records.size
	return err
}

// hold notes a record and the place that it takes.
func (l *Load) hold(r *formats.Record, h held) {
	key := keyOf(r.Dataset, r.ID)
	l.held[key] = h
	if !inTree(r) {
		return
	}
	at := l.spotKey(l.names.locationOf(r))
	if r.Kind == formats.KindFolder {
		l.spots[at] = spot{dir: true, folders: l.spots[at].folders + 1}
		return
	}
	l.spots[at] = spot{file: true}
	l.inTree[short(r.Blob.SHA256)] = h.place
}

func (l *Load) spotKey(location string) digest { return digestOf(l.fold(location)) }

// readClaims counts what all series brought, and reads what this one did.
func (l *Load) readClaims() error {
	names, err := readNames(l.target.root, seriesDir)
	if err != nil {
		return err
	}
	mine := seriesKey(l.origin.Series)
	for _, name := range names {
		series, ok := strings.CutSuffix(name, claimsExt)
		if !ok {
			continue
		}
		err := eachLine(l.target.root, seriesDir+"/"+name, func(line []byte) error {
			c, err := parseClaim(line)
			if err != nil {
				return err
			}
			here := keyOf(c.Dataset, c.here)
			h, ok := l.held[here]
			if !ok {
				return nil
			}
			h.claims++
			l.held[here] = h
			if series != mine || l.origin.Series == "" {
				return nil
			}
			return l.claim(c)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// claimLine is a line of a series' list.
type claimLine struct {
	formats.State        // as the series knows it
	here          string // id under which the record is held
}

func (c *claimLine) append(dst []byte) []byte {
	dst = c.State.AppendLine(dst)
	dst[len(dst)-1] = '\t'
	return append(dst, c.here...)
}

func parseClaim(line []byte) (claimLine, error) {
	var c claimLine
	fields := strings.Split(string(line), "\t")
	if len(fields) != 5 {
		return c, fmt.Errorf("%w: the line has %d fields, not 5", formats.ErrInvalid, len(fields))
	}
	c.Dataset, c.ID, c.here = formats.Dataset(fields[0]), fields[1], fields[4]
	err := c.Record.UnmarshalText([]byte(fields[2]))
	if err == nil && fields[3] != "" {
		err = c.Blob.UnmarshalText([]byte(fields[3]))
	}
	return c, err
}

// claim notes that the series brought a record.
func (l *Load) claim(c claimLine) error {
	at, err := l.brought.add(c.append(l.line[:0]))
	if err != nil {
		return err
	}
	key := keyOf(c.Dataset, c.ID)
	l.claims[key] = claim{place: at, line: short(c.Record), here: keyOf(c.Dataset, c.here)}
	if c.here != c.ID {
		l.renamed[key] = c.here
	} else {
		delete(l.renamed, key)
	}
	return nil
}

// unclaim notes that the series no longer has a record.
func (l *Load) unclaim(key digest, c claim) {
	delete(l.claims, key)
	if h, ok := l.held[c.here]; ok {
		h.claims--
		l.held[c.here] = h
	}
}

// read returns a record that is held.
func (l *Load) read(p place) (formats.Record, error) {
	line, err := l.records.read(p)
	if err != nil {
		return formats.Record{}, err
	}
	return formats.ParseLine(line)
}

// fresh reports whether a record came in this load, so that its file is not in place yet.
func (l *Load) fresh(p place) bool { return p.at >= l.base }

// Abort implements [operators.Load]. Blobs that were sent stay for the next load.
func (l *Load) Abort() error {
	if l.done {
		return nil
	}
	l.done = true
	return errors.Join(l.lock.Unlock(), l.close())
}

// close closes files; what a load lists after its end is read before the next one begins.
func (l *Load) close() error {
	var errs []error
	for _, log := range []*lineLog{l.records, l.brought, l.adopted} {
		if log != nil {
			errs = append(errs, log.close())
		}
	}
	if l.plan != nil {
		errs = append(errs, l.plan.close())
	}
	if l.stage != nil {
		errs = append(errs, l.stage.Close())
	}
	l.records, l.brought, l.adopted, l.plan, l.stage = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// check refuses a load that was finished or given up.
func (l *Load) check(ctx context.Context) error {
	if l.done {
		return errors.New("this load is over: begin another")
	}
	return ctx.Err()
}

// intact reports whether the file of a held record is what was put there; there says whether anything is.
func (l *Load) intact(p place, r *formats.Record) (intact, there bool, err error) {
	if l.fresh(p) {
		return true, true, nil
	}
	info, err := l.parents.lstat(l.names.locationOf(r))
	if err != nil || info == nil {
		return false, false, err
	}
	if r.Kind == formats.KindFolder {
		return info.IsDir(), true, nil
	}
	return untouched(info, r.Blob.Size, diskTime(r.Modified)), true, nil
}

func exists(root *os.Root, name string, size int64) (bool, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular() && info.Size() == size, err
}
