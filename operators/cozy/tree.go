package cozy

import (
	"crypto/sha256"
	"fmt"
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	trashName    = ".cozy_trash"
	lostAndFound = "Lost and found"
	// maxPath bounds the path of a record, so that folders inside folders cannot make the tree grow without end.
	maxPath = 8 << 10
)

// digest stands for a path or a document where only sameness matters.
type digest [16]byte

func digestOf(s string) digest {
	sum := sha256.Sum256([]byte(s))
	return digest(sum[:16])
}

// folder is what the tree knows of a folder's document.
type folder struct {
	native  string // path as the Cozy says it: "/Photos/2024"
	parent  string // id
	name    string
	place   string // path of the record; "" until it is resolved
	fault   string // why it is not where its document says
	pending bool
}

// tree finds the place of folders and files.
type tree struct {
	folders map[string]*folder // by id
	taken   map[digest]bool    // places of folders
}

func newTree() *tree {
	return &tree{taken: map[digest]bool{}, folders: map[string]*folder{
		rootID:  {native: "/", place: string(formats.Tree)},
		trashID: {native: "/" + trashName, place: string(formats.Trash)},
	}}
}

// add takes a folder's document. The first of several with the same id counts.
func (t *tree) add(id string, doc object) {
	if t.folders[id] == nil {
		t.folders[id] = &folder{native: doc.text("path"), parent: doc.text("dir_id"), name: doc.text("name")}
	}
}

// place returns the record path of a folder, and false if there is no such folder.
func (t *tree) place(id string) (string, bool) {
	f := t.folders[id]
	if f == nil {
		return "", false
	}
	if f.place == "" {
		f.pending = true
		parent, name := t.above(f)
		f.pending = false
		if len(parent)+len(name) >= maxPath {
			f.fault = "folders are inside folders too deeply"
			parent = formats.Tree.Place(lostAndFound)
		}
		f.place = t.free(parent, name, id, true)
		t.taken[digestOf(f.place)] = true
	}
	return f.place, true
}

// above returns the place above a folder and its name there. A folder is where its path says, and if that is the path
// of the folder that it names as its parent, then there.
func (t *tree) above(f *folder) (string, string) {
	parent, known := t.folders[f.parent], false
	if known = parent != nil && !parent.pending; known {
		known = !t.endless(f.parent)
	}
	if !strings.HasPrefix(f.native, "/") || path.Clean(f.native) == "/" {
		name := safeName(f.name)
		if known {
			place, _ := t.place(f.parent)
			return place, name
		}
		f.fault = "its document has neither a path nor a parent that is there"
		return formats.Tree.Place(lostAndFound), name
	}
	dir, name := path.Split(f.native)
	dir = strings.TrimSuffix(dir, "/")
	if known && strings.TrimSuffix(parent.native, "/") == dir {
		place, _ := t.place(f.parent)
		return place, safeName(name)
	}
	if parent == nil {
		f.fault = "the folder that it was in is not there; it is placed by its path"
	}
	return placeOf(dir), safeName(name)
}

// endless reports whether the parents of a folder go round in a circle, or up further than any tree does.
func (t *tree) endless(id string) bool {
	for range maxPath {
		f := t.folders[id]
		if f == nil || f.place != "" {
			return false
		}
		if f.pending {
			return true
		}
		id = f.parent
	}
	return true
}

// placeOf turns the path of a folder in a Cozy into that of a record.
func placeOf(native string) string {
	place, rest := string(formats.Tree), strings.Trim(native, "/")
	if rest == trashName || strings.HasPrefix(rest, trashName+"/") {
		place, rest = string(formats.Trash), strings.TrimPrefix(rest[len(trashName):], "/")
	}
	for name := range strings.SplitSeq(rest, "/") {
		if name != "" {
			place += "/" + safeName(name)
		}
	}
	return place
}

// safeName returns a name that is one component of a path and no other.
func safeName(name string) string {
	switch name {
	case "":
		return "unnamed"
	case ".":
		return "_"
	case "..":
		return "__"
	}
	return strings.NewReplacer("/", "_", "\x00", "_").Replace(name)
}

// free returns dir/name, or another name beside it where that place is taken. The id makes the choice the same each
// time where many want one place.
func (t *tree) free(dir, name, id string, isFolder bool) string {
	return freePlace(dir, name, id, isFolder, func(place string) bool { return t.taken[digestOf(place)] })
}

func freePlace(dir, name, id string, isFolder bool, taken func(string) bool) string {
	place := dir + "/" + name
	for n := 2; taken(place); n++ {
		mark := fmt.Sprintf(" (%d)", n)
		if n > 50 {
			mark = fmt.Sprintf(" (%x-%d)", digestOf(id), n)
		}
		place = dir + "/" + marked(name, mark, isFolder)
	}
	return place
}

// marked puts a mark before the extension of a name, so that a program still knows what is in the file.
func marked(name, mark string, isFolder bool) string {
	ext := path.Ext(name)
	if isFolder || ext == name || len(ext) > 16 {
		ext = ""
	}
	return strings.TrimSuffix(name, ext) + mark + ext
}
