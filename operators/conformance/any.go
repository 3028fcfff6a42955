package conformance

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// thing is a file or a folder of a model.
type thing struct {
	path    string
	folder  bool
	content string
}

// model is a sound tree by record id, and what changed since it was last loaded.
type model struct {
	things  map[string]thing
	changed map[string]bool
	next    int
}

// taken reports whether something is at a path, below it, or, if it is no folder, above it.
func (m *model) taken(path, but string) bool {
	for id, t := range m.things {
		if id == but {
			continue
		}
		above := strings.HasPrefix(path, t.path+"/") && !t.folder
		if t.path == path || above || strings.HasPrefix(t.path, path+"/") {
			return true
		}
	}
	return false
}

func (m *model) change(t *rapid.T) {
	ids := slices.Sorted(maps.Keys(m.things))
	path := rapid.SampledFrom([]string{"a", "b", "c", "a/a", "a/b", "b/a", "a/b/a", "b/a/c", "c/c"}).Draw(t, "path")
	content := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "content")
	action := rapid.IntRange(0, 4).Draw(t, "action")
	if action == 0 || len(ids) == 0 {
		if m.taken(path, "") {
			return
		}
		m.next++
		id := fmt.Sprint("i", m.next)
		m.things[id] = thing{path, rapid.Bool().Draw(t, "folder"), content}
		m.changed[id] = true
		return
	}
	id := rapid.SampledFrom(ids).Draw(t, "id")
	now := m.things[id]
	switch action {
	case 1:
		delete(m.things, id)
	case 2:
		if !m.taken(path, id) {
			now.path = path
		}
		m.things[id] = now
	default:
		now.content = content
		m.things[id] = now
	}
	m.changed[id] = true
}

// delta lists what changed, in any order.
func (m *model) delta(t *rapid.T) []entry {
	var items []entry
	for _, id := range rapid.Permutation(slices.Sorted(maps.Keys(m.changed))).Draw(t, "order") {
		now, ok := m.things[id]
		switch {
		case !ok:
			items = append(items, tombstone(file(id, "x", "")))
		case now.folder:
			items = append(items, folder(id, now.path))
		default:
			items = append(items, file(id, now.path, now.content))
		}
	}
	clear(m.changed)
	return items
}

// AnySeries loads any changes in any order: the instance is what the source is, and is so again when each archive is
// loaded twice.
func AnySeries(t *testing.T, open func(t *testing.T) Fixture) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		i, s := open(t), fmt.Sprint("series-", n)
		defer i.Target.Close()
		m := &model{things: map[string]thing{}, changed: map[string]bool{}}
		for range rapid.IntRange(1, 4).Draw(rt, "archives") {
			for range rapid.IntRange(0, 8).Draw(rt, "changes") {
				m.change(rt)
			}
			items := m.delta(rt)
			bringTo(rt, i, s, items)
			expectModel(t, rt, i, m)
			for _, r := range bringTo(rt, i, s, items) {
				if r != operators.Present {
					rt.Fatalf("loaded again, a record is %s", r)
				}
			}
			expectModel(t, rt, i, m)
		}
	})
}

// AnyMerge loads two series into one instance, in which the person works, too: the tree is always sound, and no
// content of anybody is lost.
func AnyMerge(t *testing.T, open func(t *testing.T) Fixture) {
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		i, name := open(t), fmt.Sprint("merge-", n)
		defer i.Target.Close()
		models := map[string]*model{}
		for _, s := range []string{"s", "t"} {
			models[s] = &model{things: map[string]thing{}, changed: map[string]bool{}}
		}
		for step := range rapid.IntRange(1, 6).Draw(rt, "steps") {
			s := rapid.SampledFrom([]string{"s", "t"}).Draw(rt, "series")
			m := models[s]
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				m.change(rt)
			}
			mine := fmt.Sprintf("mine %d", step)
			edited := personEdits(t, rt, i, mine)
			items := m.delta(rt)
			results := bringTo(rt, i, name+s, items)
			held := contents(t, rt, i)
			for n, item := range items {
				came := m.things[item.Record.ID]
				if results[n] != operators.Present && item.Record.Blob != nil && !held[came.content] {
					rt.Fatalf("the content %q, which came and is said to be %s, is not here: %v", came.content, results[n], held)
				}
			}
			if edited && !held[mine] {
				rt.Fatalf("what the person wrote, %q, is gone: %v", mine, held)
			}
		}
	})
}

// personEdits lets the person write to a file that is there.
func personEdits(outer *testing.T, t *rapid.T, i Fixture, text string) bool {
	for _, r := range tree(outer, t, i) {
		if r.Kind == formats.KindFile && rapid.IntRange(0, 3).Draw(t, "edit") == 0 {
			i.Edit(outer, r.Path, []byte(text))
			return true
		}
	}
	return false
}

func bringTo(t *rapid.T, i Fixture, series string, items []entry) []operators.Result {
	ctx := context.Background()
	l, err := i.Target.Load(ctx, operators.Origin{Series: series})
	if err != nil {
		t.Fatalf("%v", err)
	}
	var results []operators.Result
	for _, item := range items {
		r := item.Record
		if r.Blob != nil {
			if _, err := l.PutBlob(ctx, bytes.NewReader(item.content), r.Blob.Size); err != nil {
				t.Fatalf("%v", err)
			}
		}
		out, err := l.PutRecord(ctx, r)
		if err != nil {
			t.Fatalf("%v", err)
		}
		results = append(results, out.Result)
	}
	if err := l.Finish(ctx); err != nil {
		t.Fatalf("%v", err)
	}
	return results
}

// tree reads the records, and checks that they make a tree.
func tree(outer *testing.T, t *rapid.T, i Fixture) []formats.Record {
	source := i.Source(outer)
	defer source.Close()
	var list []formats.Record
	kinds := map[string]formats.Kind{}
	for item, err := range source.Records(context.Background(), 0) {
		if err != nil {
			t.Fatalf("%v", err)
		}
		if _, twice := kinds[item.Record.Path]; twice {
			t.Fatalf("two records are at %s", item.Record.Path)
		}
		kinds[item.Record.Path] = item.Record.Kind
		r, err := readItem(item)
		if err != nil {
			t.Fatalf("%s: %v", item.Record.Path, err)
		}
		list = append(list, r)
	}
	for path := range kinds {
		for at, c := range path {
			if kind, ok := kinds[path[:at]]; c == '/' && ok && kind != formats.KindFolder {
				t.Fatalf("%s is in a file", path)
			}
		}
	}
	return list
}

func contents(outer *testing.T, t *rapid.T, i Fixture) map[string]bool {
	held := map[string]bool{}
	known := map[formats.Hash]string{}
	for _, text := range []string{"one", "two", "three", "mine 0", "mine 1", "mine 2", "mine 3", "mine 4", "mine 5"} {
		known[formats.HashOf([]byte(text))] = text
	}
	for _, r := range tree(outer, t, i) {
		if r.Blob != nil {
			held[known[r.Blob.SHA256]] = true
		}
	}
	return held
}

func expectModel(outer *testing.T, t *rapid.T, i Fixture, m *model) {
	// Folders without a record of their own may be there, and stay when what was in them goes.
	list := slices.DeleteFunc(tree(outer, t, i), func(r formats.Record) bool {
		_, ok := m.things[r.ID]
		return !ok && r.Kind == formats.KindFolder
	})
	for _, r := range list {
		want, ok := m.things[r.ID]
		if !ok || formats.Tree.Place(want.path) != r.Path || !want.folder && r.Blob.SHA256 != formats.HashOf([]byte(want.content)) {
			t.Fatalf("%s is at %s, want %+v", r.ID, r.Path, want)
		}
	}
	if len(list) != len(m.things) {
		t.Fatalf("%d records, want %d", len(list), len(m.things))
	}
}
