package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// findFile returns where a newcomer's file can be, and gives its record another path if its own is taken. It reports
// true where the person has the same bytes at that place already.
func (l *Load) findFile(ctx context.Context, in *incoming) (string, bool, error) {
	if raw := l.names.rawPath(&in.Record); raw != "" {
		if ok, err := l.fits(raw, false); ok || err != nil {
			return raw, false, err
		}
	}
	_, treePath := formats.SplitPath(in.Path)
	treePath, err := l.inFolder(treePath)
	if err != nil {
		return "", false, err
	}
	location := l.names.location(treePath)
	same, err := l.samePersonal(ctx, in, location)
	if err == nil && !same {
		treePath, err = l.freePath(treePath, false)
	}
	in.Path = treePrefix + treePath
	return l.names.location(treePath), same, err
}

// findFolder is findFile for a folder. Folders of one name are one folder.
func (l *Load) findFolder(in *incoming) (string, error) {
	if raw := l.names.rawPath(&in.Record); raw != "" {
		if ok, err := l.fits(raw, true); ok || err != nil {
			return raw, err
		}
	}
	_, treePath := formats.SplitPath(in.Path)
	treePath, err := l.inFolder(treePath)
	if err == nil {
		treePath, err = l.freePath(treePath, true)
	}
	in.Path = treePrefix + treePath
	return l.names.location(treePath), err
}

// inFolder returns the path that something has here, its folders having the names that they have here. Where a folder
// of that name cannot be, because a file or a link has it, all that is in it goes into "name (2)".
func (l *Load) inFolder(treePath string) (string, error) {
	i := strings.LastIndexByte(treePath, '/')
	if i < 0 {
		return treePath, nil
	}
	folder, err := l.folder(treePath[:i])
	return folder + treePath[i:], err
}

func (l *Load) folder(treePath string) (string, error) {
	if treePath == l.lastDir {
		return l.lastPath, nil
	}
	resolved, err := l.inFolder(treePath)
	if err == nil {
		resolved, err = l.freePath(resolved, true)
	}
	if err != nil {
		return "", err
	}
	at := l.spotKey(l.names.location(resolved))
	s := l.spots[at]
	s.dir = true
	l.spots[at] = s
	l.lastDir, l.lastPath = treePath, resolved
	return resolved, nil
}

// freePath returns the path itself, or the first numbered one that is not taken.
func (l *Load) freePath(treePath string, folder bool) (string, error) {
	location := l.names.location(treePath)
	if ok, err := l.isFree(location, folder); ok || err != nil {
		return treePath, err
	}
	parent, name := path.Split(treePath)
	count := l.spotKey(location)
	for n := max(2, l.next[count]); ; n++ {
		candidate := parent + formats.NumberedName(name, n)
		ok, err := l.isFree(l.names.location(candidate), folder)
		if err != nil {
			return "", err
		}
		if ok {
			if !folder { // a folder's name is asked for again by what is in it
				l.next[count] = n
			}
			return candidate, nil
		}
	}
}

// fits is isFree for a location whose folders were not looked at yet, and takes those.
func (l *Load) fits(location string, folder bool) (bool, error) {
	for dir := path.Dir(location); dir != "."; dir = path.Dir(dir) {
		if ok, err := l.isFree(dir, true); !ok || err != nil {
			return false, err
		}
	}
	ok, err := l.isFree(location, folder)
	for dir := path.Dir(location); ok && dir != "."; dir = path.Dir(dir) {
		s := l.spots[l.spotKey(dir)]
		s.dir = true
		l.spots[l.spotKey(dir)] = s
	}
	return ok, err
}

// isFree reports whether a file can be put at a location, or a folder be made or used there. Whatever is there and is
// not a folder, be it a link that leads nowhere, is in the way.
func (l *Load) isFree(location string, folder bool) (bool, error) {
	s := l.spots[l.spotKey(location)]
	switch {
	case s.file, s.dir && !folder:
		return false, nil
	case s.freed:
		return true, nil
	}
	ok, err := l.parents.check(path.Dir(location))
	if errors.Is(err, errNotFolder) {
		return l.freedAbove(location), nil
	}
	if err != nil || !ok {
		return err == nil, err
	}
	info, err := lstat(l.target.root, location)
	return info == nil || folder && info.IsDir(), err
}

// freedAbove reports whether what stands in the way of a location is a file that this load removes.
func (l *Load) freedAbove(location string) bool {
	for dir := path.Dir(location); dir != "."; dir = path.Dir(dir) {
		if l.spots[l.spotKey(dir)].freed {
			return true
		}
	}
	return false
}

// samePersonal reports whether a file of the person's own, with the newcomer's bytes, is at a location. The newcomer
// then takes that file as its own, with the time that it has.
func (l *Load) samePersonal(ctx context.Context, in *incoming, location string) (bool, error) {
	if s := l.spots[l.spotKey(location)]; s.file || s.dir || s.freed {
		return false, nil
	}
	info, err := l.parents.lstat(location)
	if err != nil || info == nil || !info.Mode().IsRegular() || info.Size() != in.Blob.Size {
		return false, err
	}
	f, err := l.target.root.OpenFile(location, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	digest := sha256.New()
	if _, err := l.copy(ctx, digest, f); err != nil {
		return false, err
	}
	if formats.Hash(digest.Sum(nil)) != in.Blob.SHA256 {
		return false, nil
	}
	in.Modified, in.result = info.ModTime(), operators.Present
	return true, nil
}
