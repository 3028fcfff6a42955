package home_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// model is what a person's trees should hold: contents by path; folder stands for a folder.
type model map[string]string

const aFolder = "\x00folder"

func (m model) isFolder(p string) bool { return !strings.Contains(p, "/") || m[p] == aFolder }

func up(p string) string { return p[:strings.LastIndexByte(p, '/')] }

// below returns the paths of something and of all that is in it.
func (m model) below(p string) (list []string) {
	for path := range m {
		if path == p || strings.HasPrefix(path, p+"/") {
			list = append(list, path)
		}
	}
	return list
}

func (m model) put(p, content string) bool {
	if !m.isFolder(up(p)) || m[p] == aFolder {
		return false
	}
	m[p] = content
	return true
}

func (m model) makeFolder(p string) bool {
	if _, there := m[p]; there || !m.isFolder(up(p)) {
		return false
	}
	m[p] = aFolder
	return true
}

// throw takes something out of the tree; what becomes of it in the trash is not modelled.
func (m model) throw(p string) bool {
	list := m.below(p)
	for _, path := range list {
		delete(m, path)
	}
	return len(list) > 0
}

// transfer copies or moves.
func (m model) transfer(from, to string, replace, move bool) bool {
	_, there := m[to]
	if _, is := m[from]; !is || from == to || strings.HasPrefix(to, from+"/") || strings.HasPrefix(from, to+"/") || !m.isFolder(up(to)) || there && !replace {
		return false
	}
	m.throw(to)
	for _, path := range m.below(from) {
		m[to+path[len(from):]] = m[path]
		if move {
			delete(m, path)
		}
	}
	return true
}

// look is what the home holds in the tree.
func look(t testing.TB, i *home.Instance, folder string, into model) {
	all, err := i.Sight().List(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Folder {
			into[e.Path] = aFolder
			look(t, i, e.Path, into)
		} else {
			into[e.Path] = held(t, i, e.Path)
		}
	}
}

// TestWorkModel does at random what persons do, and holds what the home says and has against a model.
func TestWorkModel(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h, err := home.Open(t.Context(), db, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			i, err := h.Create(t.Context(), fmt.Sprint("p", n), home.Options{})
			if err != nil {
				rt.Fatal(err)
			}
			m := model{}
			path := rapid.Custom(func(rt *rapid.T) string {
				return "tree/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "a-", "é"}), 1, 3).Draw(rt, "parts"), "/")
			})
			for range rapid.IntRange(1, 25).Draw(rt, "steps") {
				step(t, rt, i, m, path)
			}
			got := model{}
			look(t, i, string(formats.Tree), got)
			if !maps.Equal(got, m) {
				rt.Fatalf("the home holds %q, it should be %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(m)))
			}
			checkRoom(t, i)
			if err := i.Discard(t.Context(), "trash", nil); err != nil {
				rt.Fatal(err)
			}
			checkRoom(t, i)
		})
	})
}

func step(t testing.TB, rt *rapid.T, i *home.Instance, m model, paths *rapid.Generator[string]) {
	ctx, p, q := t.Context(), paths.Draw(rt, "path"), paths.Draw(rt, "to")
	replace := rapid.Bool().Draw(rt, "replace")
	var err error
	var should bool
	switch what := rapid.SampledFrom([]string{"put", "folder", "throw", "move", "copy"}).Draw(rt, "what"); what {
	case "put":
		content := strings.Repeat(rapid.SampledFrom([]string{"x", "y", ""}).Draw(rt, "content"), rapid.SampledFrom([]int{1, 2, 70_000}).Draw(rt, "size"))
		_, err = trySave(ctx, i, p, content, nil)
		should = m.put(p, content)
	case "folder":
		err = i.MakeFolder(ctx, p, nil)
		should = m.makeFolder(p)
	case "throw":
		err = i.Discard(ctx, p, nil)
		should = m.throw(p)
	case "move":
		_, err = i.Move(ctx, home.Transfer{From: p, To: q, Replace: replace})
		should = m.transfer(p, q, replace, true)
	case "copy":
		_, err = i.Copy(ctx, home.Transfer{From: p, To: q, Replace: replace})
		should = m.transfer(p, q, replace, false)
	}
	if should != (err == nil) {
		rt.Fatalf("%s to %s: %v; in the model: %v", p, q, err, should)
	}
}
