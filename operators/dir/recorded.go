package dir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// recorded gives the records that targets have put into the folder, as they are now.
func (w *walk) recorded(root *os.Root, l *layout) bool {
	err := l.eachRecord(func(_ []byte, r *formats.Record) error {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		item, err := w.current(root, l, r)
		if err != nil {
			return err
		}
		if r.Dataset == formats.Files {
			w.ids[keyOf(r.Dataset, r.ID)] = struct{}{}
		}
		if item != nil && !w.yield(*item, nil) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return false
	}
	if err != nil {
		return w.fail(err)
	}
	return true
}

// current returns the item for a record, or nil where the person has removed or replaced what it is about.
func (w *walk) current(root *os.Root, l *layout, r *formats.Record) (*operators.Item, error) {
	switch {
	case inTree(r):
		return w.currentInTree(root, l, r)
	case r.Blob == nil:
		return &operators.Item{Record: *r}, nil
	}
	name := blobsDir + "/" + r.Blob.SHA256.String()
	info, err := lstat(root, name)
	if err != nil {
		return nil, unreadable("file", name, err)
	}
	if info == nil || !info.Mode().IsRegular() || info.Size() != r.Blob.Size {
		return withoutContent(r, name), nil
	}
	f := &plainFile{dir: root, name: name, path: name, info: info}
	return &operators.Item{Record: *r, Content: f.open}, nil
}

func withoutContent(r *formats.Record, name string) *operators.Item {
	r.Blob = nil
	return &operators.Item{Record: *r, Omissions: []operators.Omission{{
		Dataset: r.Dataset, ID: r.ID, Path: r.Path, Code: "content-missing", Lost: true,
		Reason: "its bytes should be in " + name + " and are not, or not all of them",
		Advice: "Restore that file from a backup, or import the archive again from which it came.",
	}}}
}

func (w *walk) currentInTree(root *os.Root, l *layout, r *formats.Record) (*operators.Item, error) {
	at := l.Names.locationOf(r)
	info, err := w.parents.lstat(at)
	if err != nil {
		return nil, unreadable("file", at, err)
	}
	folder := r.Kind == formats.KindFolder
	switch {
	case info == nil:
		return nil, nil // the person has removed it
	case folder && !info.IsDir(), !folder && !info.Mode().IsRegular():
		return nil, nil // it is something else now, which the walk meets
	case folder:
		w.seen[digestOf(at)] = struct{}{}
		return &operators.Item{Record: *r}, nil
	case !untouched(info, r.Blob.Size, diskTime(r.Modified)) && !edited(r, info):
		return nil, nil
	}
	w.seen[digestOf(at)] = struct{}{}
	f := &plainFile{dir: root, name: at, path: at, info: info}
	return &operators.Item{Record: *r, Content: f.open}, nil
}

// edited makes the record of a file that the person has changed since: the same file with other bytes. What was known
// of the old bytes goes. It reports false for other kinds (a note), which are then files like any other.
func edited(r *formats.Record, info fs.FileInfo) bool {
	if r.Kind != formats.KindFile {
		return false
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(r.Body, &body) != nil {
		return false
	}
	delete(body, "checksums")
	delete(body, "metadata")
	encoded, err := formats.MarshalBody(body)
	if err != nil {
		return false
	}
	r.Body, r.Native, r.Modified = encoded, nil, info.ModTime()
	r.Blob = &formats.Blob{Size: info.Size(), Type: r.Blob.Type}
	return true
}
