package cozy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Source reads the export of a Cozy.
type Source struct {
	parts    []*part // in order, at least one
	instance object  // the document of the instance; empty if it cannot be read
	library  *library
}

var _ operators.Source = (*Source)(nil)

// Open opens the parts of one export, in any order. A path that ends in ".json" is the manifest of the export, with
// which the parts are compared. Close the source after use.
//
// It returns an error wrapping [formats.ErrInvalid] if a file is not a whole zip of a Cozy's export, if the parts are
// not of one export, or if one is missing.
func Open(paths ...string) (*Source, error) {
	s := &Source{}
	err := s.open(paths)
	if err != nil {
		return nil, fmt.Errorf("open a Cozy's export: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

func (s *Source) open(paths []string) error {
	var manifests []*manifest
	for _, path := range paths {
		if strings.EqualFold(filepath.Ext(path), ".json") {
			m, err := readManifest(path)
			if err != nil {
				return err
			}
			manifests = append(manifests, m)
			continue
		}
		p, err := openPart(path)
		if err != nil {
			return err
		}
		s.parts = append(s.parts, p)
	}
	if err := order(s.parts); err != nil {
		return err
	}
	s.instance = s.readInstance()
	for _, m := range manifests {
		if err := m.check(s.parts, s.instance.text("domain")); err != nil {
			return err
		}
	}
	return s.checkKin()
}

// Close closes the files.
func (s *Source) Close() error {
	var errs []error
	for _, p := range s.parts {
		errs = append(errs, p.file.Close())
	}
	s.parts = nil
	return errors.Join(errs...)
}

func (s *Source) readInstance() object {
	for _, e := range s.parts[0].entries {
		if e.Name == instanceEntry {
			if doc, err := e.object(); err == nil {
				return doc
			}
		}
	}
	return object{}
}

// object reads a document as an object.
func (e entry) object() (object, error) {
	text, err := e.document()
	if err != nil {
		return object{}, err
	}
	return parseObject(text)
}

// checkKin refuses a part whose files were all in folders that the first part does not have: later parts do not say
// of which instance they are, and such a part is another's.
func (s *Source) checkKin() error {
	if len(s.parts) < 2 {
		return nil
	}
	l, err := s.known(context.Background())
	if err != nil {
		return err
	}
	for _, p := range s.parts[1:] {
		files, kin := 0, 0
		for _, e := range p.entries {
			if e.kind != documentEntry || e.doctype != doctypeFiles {
				continue
			}
			if doc, err := e.object(); err == nil && !isFolder(doc) {
				files++
				kin += btoi(l.tree.folders[doc.text("dir_id")] != nil)
			}
		}
		if files > 0 && kin == 0 {
			return fmt.Errorf("%w: %s is a part of another export: none of its files is in a folder of %s",
				formats.ErrInvalid, filepath.Base(p.path), filepath.Base(s.parts[0].path))
		}
	}
	return nil
}

// known returns the library, which is made once.
func (s *Source) known(ctx context.Context) (*library, error) {
	if s.library == nil {
		l, err := s.survey(ctx)
		if err != nil {
			return nil, err
		}
		s.library = l
	}
	return s.library, nil
}

// Describe names the owner by the public name, else the address, else the domain of the instance.
func (s *Source) Describe(ctx context.Context) (operators.Description, error) {
	if err := ctx.Err(); err != nil {
		return operators.Description{}, err
	}
	d := operators.Description{Owner: s.instance.text("domain"), Locale: s.instance.text("locale")}
	for _, e := range s.parts[0].entries {
		if e.kind != documentEntry || e.doctype != doctypeSettings || e.id != instanceID {
			continue
		}
		if doc, err := e.object(); err == nil {
			for _, name := range []string{"email", "public_name"} {
				if text := doc.text(name); text != "" {
					d.Owner = text
				}
			}
		}
	}
	return d, nil
}

// Records walks the whole export; there is no feed of changes, so that after must be zero. Each content is read once
// to know its hash and to find damage before the record is given.
func (s *Source) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		if after != 0 {
			yield(operators.Item{}, fmt.Errorf("%w: an export of a Cozy has no changes after a position", operators.ErrUnsupported))
			return
		}
		l, err := s.known(ctx)
		if err != nil {
			yield(operators.Item{}, err)
			return
		}
		w := &walk{Source: s, library: l, ctx: ctx, taken: map[digest]bool{}, seen: map[digest]digest{}, used: map[*entry]bool{}}
		w.run(yield)
	}
}

// walk is one pass through an export.
type walk struct {
	*Source
	library *library
	ctx     context.Context
	taken   map[digest]bool   // places of files and notes
	seen    map[digest]digest // documents, by dataset and id
	used    map[*entry]bool   // contents that a document claimed
	named   map[string]*entry // contents by name, made when first asked for
}

func (w *walk) run(yield func(operators.Item, error) bool) {
	for _, p := range w.parts {
		for i := range p.entries {
			if p.entries[i].kind != documentEntry {
				continue
			}
			item, err := w.item(p, i)
			if err == nil {
				err = w.ctx.Err()
			}
			if err != nil {
				yield(operators.Item{}, fmt.Errorf("%s: %w", filepath.Base(p.path), err))
				return
			}
			if (item.Record.ID != "" || len(item.Omissions) > 0) && !yield(item, nil) {
				return
			}
		}
	}
	w.leftOver(yield)
}

// leftOver reports the entries that no document asked for.
func (w *walk) leftOver(yield func(operators.Item, error) bool) {
	for _, p := range w.parts {
		for i := range p.entries {
			e := &p.entries[i]
			var o operators.Omission
			switch {
			case e.kind == contentEntry && !w.used[e]:
				o = lost("content-without-document", fmt.Sprintf("no document says what the content %q in %s is", e.Name, filepath.Base(p.path)))
			case e.kind == unknownEntry:
				o = lost("unknown-entry", fmt.Sprintf("the entry %q in %s is none that an export of a Cozy has", e.Name, filepath.Base(p.path)))
			default:
				continue
			}
			if !yield(operators.Item{Omissions: []operators.Omission{o}}, nil) {
				return
			}
		}
	}
}

func lost(code, reason string) operators.Omission {
	return operators.Omission{Code: code, Reason: sentence(reason), Lost: true}
}

// item makes an item of the document at p.entries[i].
func (w *walk) item(p *part, i int) (operators.Item, error) {
	e := &p.entries[i]
	doc, err := e.object()
	switch {
	case errors.Is(err, errUnreadable):
		return w.refuse(p, i, "unreadable", err)
	case errors.Is(err, formats.ErrInvalid):
		return w.refuse(p, i, "invalid-json", err)
	case err != nil:
		return operators.Item{}, err
	}
	if e.Name == instanceEntry && doc.text("_id") == "" {
		return operators.Item{}, nil // nothing but what Describe says: nobody's document
	}
	d := &draft{walk: w, part: p, index: i, entry: e, doc: doc}
	return d.item()
}

// refuse reports a document that cannot be read, and claims its content so that it is not reported once more.
func (w *walk) refuse(p *part, i int, code string, err error) (operators.Item, error) {
	e := &p.entries[i]
	if next := w.next(p, i); next != nil && (e.doctype == doctypeFiles || e.doctype == doctypeVersions) {
		w.used[next] = true
	}
	o := lost(code, fmt.Sprintf("the document %s/%s cannot be read, and what it describes is left out: %v", e.doctype, e.id, err))
	o.Dataset = mappingOf(e.doctype).dataset
	o.ID = recordID(o.Dataset, e.doctype, e.id)
	o.Advice = "Ask the Cozy for a new export."
	return operators.Item{Omissions: []operators.Omission{o}}, nil
}

// next returns the entry after p.entries[i] if it is a content.
func (w *walk) next(p *part, i int) *entry {
	if i+1 < len(p.entries) && p.entries[i+1].kind == contentEntry {
		return &p.entries[i+1]
	}
	return nil
}

// content finds the bytes of a document: they are in the entry right after it. In a zip that was packed again in
// another order they are where their name says. An entry that follows, but has another name and another size, is not
// taken for them.
func (w *walk) content(p *part, i int, name string, size uint64) *entry {
	next := w.next(p, i)
	if next != nil && next.Name == name {
		return next
	}
	if w.named == nil {
		w.named = map[string]*entry{}
		for _, p := range slices.Backward(w.parts) {
			for i := range p.entries {
				if e := &p.entries[i]; e.kind == contentEntry {
					w.named[e.Name] = e
				}
			}
		}
	}
	if e := w.named[name]; e != nil && !w.used[e] {
		return e
	}
	if next != nil && !w.used[next] && next.UncompressedSize64 == size {
		return next
	}
	return nil
}
