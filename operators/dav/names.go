package dav

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	maxName = 255 // bytes, of one name: what nearly every file system holds
	maxPath = 4096
)

// placeOf returns the path in the home that a URL's path means, without a slash at the end.
func placeOf(path string) (string, error) {
	for prefix, area := range map[string]formats.Area{Files: formats.Tree, Trash: formats.Trash} {
		rest, ok := strings.CutPrefix(path, prefix)
		if path+"/" == prefix {
			rest, ok = "", true
		}
		if !ok {
			continue
		}
		if rest = strings.TrimSuffix(rest, "/"); rest == "" {
			return string(area), nil
		}
		return area.Place(rest), checkPath(rest)
	}
	return "", errForbidden
}

// checkPath says what no path can be.
func checkPath(path string) error {
	if len(path) > maxPath {
		return badName("it is longer than 4096 bytes, with its folders")
	}
	if !utf8.ValidString(path) {
		return badName("it is not UTF-8")
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." {
			return badName("a part of it is empty, or dots")
		}
	}
	return nil
}

// checkName says what nobody can call something new. What is there already may be called so: an archive brought it.
func checkName(path string) error {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if len(name) > maxName {
		return badName("it is longer than 255 bytes")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.Is(unicode.Cc, r) || r == 0xfffe || r == 0xffff }) {
		return badName("it holds control characters")
	}
	return nil
}

// hrefOf returns the address of something, as it stands in XML.
func hrefOf(path string, folder bool) string {
	area, rest := formats.SplitPath(path)
	prefix := Files
	if area == formats.Trash {
		prefix = Trash
	}
	if rest != "" && folder {
		rest += "/"
	}
	return (&url.URL{Path: prefix + rest}).EscapedPath()
}
