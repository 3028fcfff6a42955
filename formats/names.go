package formats

import (
	"fmt"
	"path"
	"unicode/utf8"
)

// longestName is how many bytes a name of a file has at the most, on nearly every file system.
const longestName = 255

// NumberedName returns the n-th name for something whose own name is taken: "name (2).ext". It fits into 255 bytes.
func NumberedName(name string, n int) string { return MarkedName(name, fmt.Sprintf(" (%d)", n)) }

// MarkedName puts a mark before the extension of a name, and cuts the name so that the result fits into 255 bytes.
func MarkedName(name, mark string) string {
	stem, ext := SplitExt(name)
	if room := longestName - len(mark) - len(ext); len(stem) > room && room > 0 {
		stem = stem[:room]
		for stem != "" && !utf8.ValidString(stem) {
			stem = stem[:len(stem)-1]
		}
	}
	return stem + mark + ext
}

// SplitExt parts a name before its extension; a name that begins with its only dot has none.
func SplitExt(name string) (stem, ext string) {
	ext = path.Ext(name)
	if ext == name || len(ext) > 32 {
		return name, ""
	}
	return name[:len(name)-len(ext)], ext
}
