package cozy

import (
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// places knows what is where in the tree that a load writes: a Cozy has one thing of a name in a folder.
type places struct {
	at    map[digest]occupant
	moved map[string]string // folders that gave way to a file of the same name
}

type occupant struct {
	record digest // zero for a folder that no record asked for
	folder bool
}

func newPlaces() *places {
	return &places{at: map[digest]occupant{}, moved: map[string]string{}}
}

// settle finds the place for a record at a path in the tree, and takes it. It returns a path that a Cozy takes, in
// which nothing else is.
func (p *places) settle(path string, key digest, isFolder bool) string {
	_, rest := formats.SplitPath(path)
	names := strings.Split(rest, "/")
	dir := string(formats.Tree)
	for i, name := range names[:len(names)-1] {
		dir = p.enter(dir + "/" + treeName(name, i))
	}
	name := treeName(names[len(names)-1], len(names)-1)
	place := freePlace(dir, name, path, isFolder, func(place string) bool {
		o, taken := p.at[digestOf(place)]
		return taken && !(isFolder && o.folder && o.record == digest{})
	})
	if _, last := splitLast(place); len(last) > maxName {
		place = dir + "/" + shortened(last, "")
		if _, taken := p.at[digestOf(place)]; taken {
			place = dir + "/" + shortened(name, " ("+madeID(formats.Files, path)+")")
		}
	}
	if isFolder && place != dir+"/"+name && !p.at[digestOf(dir+"/"+name)].folder {
		p.moved[dir+"/"+name] = place
	}
	p.at[digestOf(place)] = occupant{record: key, folder: isFolder}
	return place
}

// treeName returns the name for one component of a path. A folder at the top must not be taken for the trash.
func treeName(name string, depth int) string {
	if depth == 0 && name == trashName {
		return "_" + strings.TrimPrefix(trashName, ".")
	}
	return cozyName(name)
}

// enter returns the folder at a path, and marks that there must be one. Where a file is, the folder is beside it.
func (p *places) enter(dir string) string {
	if moved, ok := p.moved[dir]; ok {
		return moved
	}
	o, taken := p.at[digestOf(dir)]
	switch {
	case !taken:
		p.at[digestOf(dir)] = occupant{folder: true}
	case !o.folder:
		parent, name := splitLast(dir)
		beside := freePlace(parent, name, dir, true, func(place string) bool {
			_, taken := p.at[digestOf(place)]
			return taken
		})
		p.moved[dir] = beside
		p.at[digestOf(beside)] = occupant{folder: true}
		return beside
	}
	return dir
}

// leave gives a place up.
func (p *places) leave(place string, key digest) {
	if o := p.at[digestOf(place)]; o.record == key {
		delete(p.at, digestOf(place))
	}
}
