package cozy

import (
	"context"
	"maps"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
)

// library is what must be known of an export before its first record is given: where the folders are, and which
// files are notes and which bills are of health, since links name the dataset.
type library struct {
	tree   *tree
	notes  map[string]bool // ids
	health map[string]bool
	owned  map[string]formats.Dataset // documents, by "doctype/id", whose own member says another dataset
}

// survey reads the documents of files and bills. What cannot be read is left for the walk to report.
func (s *Source) survey(ctx context.Context) (*library, error) {
	l := &library{tree: newTree(), notes: map[string]bool{}, health: map[string]bool{}, owned: map[string]formats.Dataset{}}
	for _, p := range s.parts {
		for _, e := range p.entries {
			if e.kind != documentEntry || e.doctype != doctypeFiles && e.doctype != doctypeBills {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if doc, err := e.object(); err == nil {
				l.take(e.doctype, doc)
			}
		}
	}
	l.place(s)
	return l, nil
}

func (l *library) take(doctype string, doc object) {
	id := doc.text("_id")
	if doc.get(ownMember) != nil {
		if r := read(doctype, doc); r.own != nil && r.own.Dataset != "" {
			l.owned[doctype+"/"+id] = r.own.Dataset
		}
	}
	switch {
	case doctype == doctypeBills && doc.text("type") == healthCosts:
		l.health[id] = true
	case doctype == doctypeFiles && isFolder(doc):
		l.tree.add(id, doc)
	case doctype == doctypeFiles && isNote(doc):
		l.notes[id] = true
	}
}

// place settles the places of all folders, in the order of the export so that it is the same each time.
func (l *library) place(s *Source) {
	for _, p := range s.parts {
		for _, e := range p.entries {
			if e.kind == documentEntry && e.doctype == doctypeFiles {
				l.tree.place(e.id)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.tree.folders)) { // those whose entry has another name than their id
		l.tree.place(id)
	}
}

// link resolves a link of a document.
func (l *library) link(r ref) formats.Link {
	dataset := mappingOf(r.doctype).dataset
	switch {
	case l.owned[r.doctype+"/"+r.id] != "":
		dataset = l.owned[r.doctype+"/"+r.id]
	case r.doctype == doctypeFiles && (r.id == rootID || r.id == trashID):
		dataset = formats.Other
	case r.doctype == doctypeFiles && l.notes[r.id]:
		dataset = formats.Notes
	case r.doctype == doctypeFiles:
		dataset = formats.Files
	case r.doctype == doctypeBills && l.health[r.id]:
		dataset = formats.Health
	}
	return formats.Link{Rel: r.rel, Dataset: dataset, ID: recordID(dataset, r.doctype, r.id)}
}
