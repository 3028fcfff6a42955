package dir

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/extsort"
	"github.com/passerelle-cloud/passerelle/operators"
)

// walk is one walk through a folder tree. Its methods report whether it goes on.
type walk struct {
	ctx    context.Context
	yield  func(operators.Item, error) bool
	bodies bodies
	// Of a tree that a target has written, by digest: the locations and the ids that its records have taken.
	seen, ids map[digest]struct{}
	parents   *parents
}

func (w *walk) fail(err error) bool {
	w.yield(operators.Item{}, err)
	return false
}

const (
	treePrefix = string(formats.Tree) + "/"

	namesAtOnce = 1024    // entries read from a folder at a time
	sortMemory  = 4 << 20 // bytes of names held of a folder; more go through temporary files
)

// folder walks the folder dir, whose path in the tree is path as text and raw as the disk has it; both end with a
// slash unless it is the root.
func (w *walk) folder(dir *os.Root, path, raw string) bool {
	sorter := extsort.New(os.TempDir(), sortMemory)
	defer sorter.Close()
	if err := w.list(dir, sorter); err != nil {
		return w.fail(unreadable("folder", "/"+path, err))
	}
	for line, err := range sorter.Sorted() {
		if err == nil {
			err = w.ctx.Err()
		}
		if err != nil {
			return w.fail(err)
		}
		name := string(line[:len(line)-2])
		if raw == "" && name == systemDir && w.seen != nil {
			continue
		}
		text := textName(name)
		e := entry{walk: w, dir: dir, name: name, place: treePrefix + path + text}
		e.path = e.place[len(treePrefix):]
		e.raw = e.path
		if text != name || path != raw {
			e.raw = raw + name
		}
		if !e.visit(line[len(line)-1]) {
			return false
		}
	}
	return true
}

// The kinds of entries, as they stand at the end of a sorted line, after the name and NUL.
const (
	kindOther  = 'o'
	kindFile   = 'f'
	kindFolder = 'd'
)

// list collects the names in a folder, and what they are.
func (w *walk) list(dir *os.Root, sorter *extsort.Sorter) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	var line []byte
	for {
		entries, err := f.ReadDir(namesAtOnce)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			line = append(append(line[:0], e.Name()...), 0, entryKind(e.Type()))
			if err := sorter.Add(line); err != nil {
				return err
			}
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
	}
}

func entryKind(mode fs.FileMode) byte {
	switch {
	case mode.IsRegular():
		return kindFile
	case mode.IsDir():
		return kindFolder
	}
	return kindOther
}

// entry is a step of the walk.
type entry struct {
	walk  *walk
	dir   *os.Root // where it is
	name  string   // its name there
	place string   // its path with the area
	path  string   // in the tree, UTF-8
	raw   string   // in the tree, as the disk has it
}

func (e *entry) visit(kind byte) bool {
	info, err := entryOf(e.dir, e.name)
	switch {
	case err != nil:
		return e.walk.fail(unreadable("file", e.path, err))
	case info == nil:
		return true // deleted since the folder was listed: it is not part of the instance
	case kind == kindFile && info.Mode().IsRegular():
		return e.known() || e.file(info)
	case kind == kindFolder && info.IsDir():
		return e.folder(info)
	}
	return e.special(info)
}

// known reports whether a record has been given for this place.
func (e *entry) known() bool {
	if e.walk.seen == nil {
		return false
	}
	_, known := e.walk.seen[digestOf(e.raw)]
	return known
}

// id returns the record's id: the path, unless a record of the folder's own has that id.
func (e *entry) id() string {
	id := fileID(e.raw)
	if _, taken := e.walk.ids[keyOf(formats.Files, id)]; taken {
		return hashedID(e.raw)
	}
	return id
}

// plainFile is what the walk keeps of a file until the consumer has read it.
type plainFile struct {
	dir  *os.Root
	name string
	path string
	info fs.FileInfo
	blob formats.Blob
}

func (e *entry) file(info fs.FileInfo) bool {
	f := &plainFile{dir: e.dir, name: e.name, path: e.path, info: info}
	f.blob = formats.Blob{Size: info.Size(), Type: mediaType(e.name)}
	return e.walk.yield(operators.Item{Content: f.open, Record: formats.Record{
		ID: e.id(), Dataset: formats.Files, Kind: formats.KindFile, Path: e.place, Modified: info.ModTime(),
		Blob: &f.blob, Body: e.withRaw(e.walk.bodies.file(f.blob.Type, info.Mode()&0o111 != 0)),
	}}, nil)
}

func (e *entry) folder(info fs.FileInfo) bool {
	if !e.known() && !e.walk.yield(operators.Item{Record: formats.Record{
		ID: e.id(), Dataset: formats.Files, Kind: formats.KindFolder, Path: e.place, Modified: info.ModTime(),
		Body: e.withRaw(json.RawMessage("{}")),
	}}, nil) {
		return false
	}
	sub, err := e.dir.OpenRoot(e.name)
	if err != nil {
		return e.walk.fail(unreadable("folder", e.path, err))
	}
	defer sub.Close()
	return e.walk.folder(sub, e.path+"/", e.raw+"/")
}

// withRaw adds the true path to a body where it is not UTF-8.
func (e *entry) withRaw(body json.RawMessage) json.RawMessage {
	if e.raw == e.path {
		return body
	}
	encoded, _ := json.Marshal([]byte(e.raw)) // bytes always encode
	member := fmt.Appendf(nil, `{"nameBytes":%s`, encoded)
	if len(body) > len("{}") {
		member = append(member, ',')
	}
	return append(member, bytes.TrimPrefix(body, []byte("{"))...)
}

// special says that something is neither a file nor a folder.
func (e *entry) special(info fs.FileInfo) bool {
	what, advice := "a special file", "Nothing can be done: it has no content of its own."
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		to, err := e.dir.Readlink(e.name)
		if err != nil {
			to = "?"
		}
		what = fmt.Sprintf("a symbolic link to %q", to)
		advice = "To carry what it leads to, put a copy in its place."
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	case mode.IsRegular(), mode.IsDir():
		return e.walk.fail(changed(e.path, "it became something else while its folder was read"))
	}
	return e.walk.yield(operators.Item{Omissions: []operators.Omission{{
		Dataset: formats.Files, Path: e.place, Code: "special-file", Lost: true,
		Reason: "it is " + what + ", which is neither a file nor a folder", Advice: advice,
	}}}, nil)
}
