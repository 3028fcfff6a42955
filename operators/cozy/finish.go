package cozy

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/extsort"
)

// Finish writes the parts and the manifest. Until the manifest has its name there is no archive, and an error leaves
// nothing but what Abort removes.
func (l *load) Finish(ctx context.Context) error {
	if l.target.load != l {
		return fmt.Errorf("%w: the load is over", formats.ErrInvalid)
	}
	if err := l.finish(ctx); err != nil {
		return fmt.Errorf("write an archive for a Cozy: %w", err)
	}
	l.target.load, l.target.done = nil, true
	return l.discard()
}

func (l *load) finish(ctx context.Context) error {
	sorter := extsort.New(l.dir, 32<<20)
	defer sorter.Close()
	f := &finisher{load: l, ctx: ctx, folders: map[string]string{string(formats.Tree): rootID}, zips: newZips(l.dir, l.target.opts)}
	defer f.zips.close()
	if err := f.survey(sorter); err != nil {
		return err
	}
	if err := f.addImplied(sorter); err != nil {
		return err
	}
	if err := f.begin(); err != nil {
		return err
	}
	for line, err := range sorter.Sorted() {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if err := f.writeLine(line); err != nil {
			return err
		}
	}
	if err := f.zips.finish(); err != nil {
		return err
	}
	return l.publish(f.zips, l.domain(f.instance))
}

// finisher writes the archive of a load.
type finisher struct {
	*load
	ctx      context.Context
	folders  map[string]string // id of the folder at each path
	parents  []string          // paths at which there must be folders
	instance object            // the document of the instance, if a record has it
	zips     *zips
}

// A line of the sorter: class, key, 0, offset, length. Offset is that of a record in the spool; for an implied folder
// it is above every record's.
const (
	lineTail      = 1 + 8 + 4
	impliedOffset = 1 << 62
)

func sortLine(c class, key string, offset int64, length int32) []byte {
	line := append([]byte{byte(c)}, key...)
	line = append(line, 0)
	line = binary.BigEndian.AppendUint64(line, uint64(offset))
	return binary.BigEndian.AppendUint32(line, uint32(length))
}

// survey lists what there is, in the order in which it was put, and learns the folders.
func (f *finisher) survey(sorter *extsort.Sorter) error {
	needed := map[string]bool{}
	for _, s := range f.records {
		c, key := classOfSpooled(s), s.ref.doctype+"\x00"+s.ref.id
		switch {
		case s.ref.doctype == doctypeInstance && len(f.instance.members) == 0:
			if r, err := f.spooledRecord(s); err == nil && r.Native != nil {
				f.instance = objectOf(r.Native.Document)
			}
		case c == folderDocument && s.path != "":
			f.folders[s.path], key = s.ref.id, s.path
		case c == folderDocument:
			key = "" // the root and the trash come first
		case c == versionDocument && f.trashed[fileOf(s.ref.id)]:
			continue
		}
		if s.path != "" {
			parent, _ := splitLast(s.path)
			needed[parent] = true
		}
		if err := sorter.Add(sortLine(c, key, s.offset, s.length)); err != nil {
			return err
		}
	}
	for path := range needed {
		f.parents = append(f.parents, path)
	}
	return f.ctx.Err()
}

func fileOf(versionID string) string {
	file, _, _ := strings.Cut(versionID, "/")
	return file
}

// classOfSpooled is the class of a record's document, which the books tell without reading it.
func classOfSpooled(s spooled) class {
	switch {
	case s.ref.doctype == doctypeVersions:
		return versionDocument
	case s.ref.doctype != doctypeFiles:
		return plainDocument
	case s.folder:
		return folderDocument
	}
	return fileDocument
}

// addImplied makes folders where files are and no record says so.
func (f *finisher) addImplied(sorter *extsort.Sorter) error {
	for len(f.parents) > 0 {
		path := f.parents[len(f.parents)-1]
		f.parents = f.parents[:len(f.parents)-1]
		if f.folders[path] != "" {
			continue
		}
		id := madeID(formats.Files, "folder\x00"+path)
		f.folders[path] = id
		if err := sorter.Add(sortLine(folderDocument, path, impliedOffset, 0)); err != nil {
			return err
		}
		parent, _ := splitLast(path)
		f.parents = append(f.parents, parent)
	}
	// A folder that a record asks for may be in one that no record asks for: its parent was added with the others.
	return nil
}

// begin writes the entry by which the first part is known.
func (f *finisher) begin() error {
	doc := f.instance.clone()
	if len(doc.members) == 0 {
		doc.setText("domain", f.domain(doc))
		doc.setText("locale", cmp.Or(f.target.opts.Locale, defaultLocale))
	}
	doc.remove("_rev")
	return f.zips.document(instanceEntry, doc.bytes(), f.moment())
}

// moment is the time of entries that have none of their own.
func (f *finisher) moment() time.Time { return cmp.Or(f.origin.Time, time.Now()) }

func (f *finisher) writeLine(line []byte) error {
	tail := line[len(line)-lineTail+1:]
	offset, size := int64(binary.BigEndian.Uint64(tail)), int32(binary.BigEndian.Uint32(tail[8:]))
	if offset == impliedOffset {
		return f.writeImplied(string(line[1 : len(line)-lineTail]))
	}
	r, err := f.spooledRecord(spooled{offset: offset, length: size})
	if err != nil {
		return err
	}
	s := f.records[recordKey(r)]
	p := f.identify(r)
	p.ref, p.path = s.ref, s.path
	if p.ref.doctype == doctypeInstance && slices.Equal(compact(f.instance.bytes()), compact(p.native.bytes())) {
		return nil // written first of all
	}
	parent, _ := splitLast(p.path)
	text, _, err := f.document(r, p, f.folders[parent])
	if err != nil {
		return err
	}
	return f.writeEntry(r, p, text)
}

// writeEntry writes a document and, right behind it, its bytes.
func (f *finisher) writeEntry(r formats.Record, p plan, text json.RawMessage) error {
	at := cmp.Or(r.Modified, r.Created, f.moment())
	name := documentEntryName(p.ref.doctype, p.ref.id)
	switch p.class {
	case fileDocument:
		content := filesDir + strings.TrimPrefix(p.path, string(formats.Tree)+"/")
		return f.zips.pair(p.ref, name, text, content, f.blobPath(r.Blob.SHA256), r.Blob.Size, at)
	case versionDocument:
		return f.zips.pair(p.ref, name, text, filesDir+p.ref.id, f.blobPath(r.Blob.SHA256), r.Blob.Size, at)
	}
	return f.zips.document(name, text, at)
}

// writeImplied writes a folder that no record asked for.
func (f *finisher) writeImplied(path string) error {
	parent, name := splitLast(path)
	var doc object
	doc.setText("type", folderType)
	doc.setText("_id", f.folders[path])
	doc.setText("name", name)
	doc.setText("dir_id", f.folders[parent])
	doc.setText("created_at", stamp(f.moment()))
	doc.setText("updated_at", stamp(f.moment()))
	doc.setText("path", strings.TrimPrefix(path, string(formats.Tree)))
	mark := own{Implied: true, Seen: formats.HashOf(read(doctypeFiles, doc).body)}
	if err := mark.put(&doc); err != nil {
		return err
	}
	return f.zips.document(documentEntryName(doctypeFiles, f.folders[path]), doc.bytes(), f.moment())
}
