package home

import (
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// keyOf returns the key of a record.
func keyOf(r *formats.Record) []byte { return key(r.Dataset, r.ID) }

func key(d formats.Dataset, id string) []byte {
	k := make([]byte, 0, len(d)+1+len(id))
	k = append(k, d...)
	k = append(k, '\t')
	return append(k, id...)
}

// A place stands for a path in an index, whose keys PostgreSQL keeps below 2,700 bytes: a path that is longer than
// longestPlace is cut there, and its hash follows.
const longestPlace = 1000

func place(path string) []byte {
	if len(path) <= longestPlace {
		return []byte(path)
	}
	hash := formats.HashOf([]byte(path))
	return append([]byte(path[:longestPlace]), hash[:]...)
}

// below returns between which places the paths are that begin with a path and a slash. Below a path that is longer
// than longestPlace nothing is found, since places tell nothing there.
func below(path string) (from, to []byte) {
	if path == "" || len(path) >= longestPlace {
		return nil, nil
	}
	return []byte(path + "/"), []byte(path + "0") // '0' comes after '/'
}

// found is what there is that matters to a record which is to be stored.
type found struct {
	imported *imported // what its series brought under its key
	record   *held     // the record that it was stored as, or that has its key
	occupant *held     // the record at its path: without line
	children bool      // something is below its path
	hasBlob  bool
}

// imported is what a series brought under a key.
type imported struct {
	hash     []byte
	standing standing
	here     []byte // key of the record here; nil: the same
	left     []byte // hash of the record's line as the series left it; nil: as it came
}

// standing is how a record of a series stands here.
type standing string

const (
	own     standing = "own"
	shared  standing = "shared"
	refused standing = "refused"
)

const lookQuery = `
	SELECT i.hash, i.standing, i.here, i.left_hash,
		r.key, r.hash, r.deleted, r.folder, r.blob, r.blob_since, r.dataset,
		p.key, p.folder,
		EXISTS (SELECT 1 FROM home_record c WHERE c.instance = $3 AND c.place >= $5 AND c.place < $6),
		EXISTS (SELECT 1 FROM home_blob b WHERE b.instance = $3 AND b.hash = $7)
	FROM (SELECT 1 AS one) o
	LEFT JOIN home_imported i ON i.series = $1 AND i.key = $2
	LEFT JOIN home_record r ON r.instance = $3 AND r.key = COALESCE(i.here, $2)
	LEFT JOIN home_record p ON p.instance = $3 AND p.place = $4`

// look finds it, with one query, since this is done for every record of a load.
func (w *writer) look(series int64, r *formats.Record) (found, error) {
	var blob []byte
	if r.Blob != nil {
		blob = r.Blob.SHA256[:]
	}
	from, to := below(r.Path)
	var f found
	var i imported
	var h, p held
	var stands, dataset *string
	var deleted, folder, occupantFolder *bool
	var since *int64
	_, err := w.row(lookQuery, []any{series, keyOf(r), w.i.id, null(place(r.Path)), null(from), null(to), null(blob)},
		&i.hash, &stands, &i.here, &i.left, &h.key, &h.hash, &deleted, &folder, &h.blob, &since, &dataset,
		&p.key, &occupantFolder, &f.children, &f.hasBlob)
	if err != nil {
		return f, err
	}
	if stands != nil {
		i.standing = standing(*stands)
		f.imported = &i
	}
	if deleted != nil {
		h.deleted, h.folder, h.blobSince, h.dataset = *deleted, *folder, *since, *dataset
		f.record = &h
	}
	if occupantFolder != nil {
		p.folder = *occupantFolder
		f.occupant = &p
	}
	return f, nil
}

// obstructed reports whether a record that is to have a key cannot have its path.
func (f *found) obstructed(r *formats.Record, key []byte) bool {
	return f.occupant != nil && string(f.occupant.key) != string(key) || f.children && r.Kind != formats.KindFolder
}

// fileAt reports whether something that is no folder has a path.
func (w *writer) fileAt(path string) (bool, error) {
	return w.row(`SELECT 1 FROM home_record WHERE instance = $1 AND place = $2 AND NOT folder`, []any{w.i.id, place(path)}, new(int))
}

// insideFile returns the part of a path at which something is that is no folder; empty if there is none.
func (w *writer) insideFile(path string) (string, error) {
	for n, c := range path {
		if c != '/' {
			continue
		}
		if is, err := w.fileAt(path[:n]); is || err != nil {
			return path[:n], err
		}
	}
	return "", nil
}

// free reports whether nothing but the record of a key has a path, nor anything is below it.
func (w *writer) free(path string, key []byte) (bool, error) {
	from, to := below(path)
	ok, err := w.row(`
		SELECT 1 FROM home_record WHERE instance = $1 AND place = $2 AND key <> $5
		UNION ALL SELECT 1 FROM home_record WHERE instance = $1 AND place >= $3 AND place < $4 LIMIT 1`,
		[]any{w.i.id, place(path), null(from), null(to), key}, new(int))
	return !ok, err
}

// mostNumbers is up to where a name is counted on: "a (2)", "a (3)", …
const mostNumbers = 100

// freePath returns the path that something gets whose own path is taken. Where too many have the same name, a hash of
// what it is tells it apart.
func (w *writer) freePath(taken string, key []byte) (string, error) {
	dir, name := path.Split(taken)
	for n := 2; n <= mostNumbers; n++ {
		p := dir + formats.NumberedName(name, n)
		if ok, err := w.free(p, key); ok || err != nil {
			return p, err
		}
	}
	hash := formats.HashOf(append([]byte(taken+"\x00"), key...))
	return dir + formats.MarkedName(name, " ("+hash.String()[:16]+")"), nil
}

// freeID returns the id that a record gets whose own id is taken by something else: with a mark of its series.
func (w *writer) freeID(r *formats.Record, mark string) (string, error) {
	for n := 0; ; n++ {
		id := r.ID
		switch {
		case n == 1:
			id += "~" + mark
		case n > 1:
			id += "~" + mark + strings.Repeat("'", n-1)
		}
		if len(id) > 512 {
			id = formats.HashOf([]byte(r.ID)).String() + id[len(r.ID):]
		}
		h, err := w.at(key(r.Dataset, id))
		if err != nil || !h.live() {
			return id, err
		}
	}
}
