package markdown

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	maxSegment = 200 // bytes of a segment, so that every file system takes it and a copy can still be renamed
	maxFolders = 800 // bytes of the folders of a name; beyond that they are left out
	hashDigits = 16
)

// name returns the path of a note's file: the folders and the name that the note has in its person's tree, or else its
// title, as far as every file system takes them, then a hash of the record's id. Two records never have the same name,
// not even where case or the form of accents does not count, and no name is the folder of another.
func name(r formats.Record) string {
	if !isNote(&r) {
		return ""
	}
	segments := strings.Split(r.Path, "/")
	stem := noteEnding.ReplaceAllString(segments[len(segments)-1], "")
	if r.Path == "" {
		note, _ := formats.BodyAs[formats.Note](r) // Encode says what is wrong with it
		stem = note.Title
	}
	if strings.TrimSpace(stem) == "" {
		stem = "note"
	}
	var folders strings.Builder
	for _, s := range segments[:len(segments)-1] {
		folders.WriteString(folder(s))
		folders.WriteByte('/')
	}
	ending := "~" + formats.HashOf([]byte(r.ID)).String()[:hashDigits] + ".md"
	file := segment(stem, maxSegment-len(ending)) + ending
	if folders.Len() > maxFolders {
		return file
	}
	return folders.String() + file
}

var (
	noteEnding = regexp.MustCompile(`(?i)\.(md|markdown|cozy-note)$`)
	// reserved are names that Windows keeps for devices, with any ending.
	reserved = regexp.MustCompile(`^(?i:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)`)
)

// folder is segment for a folder: none ends as a note's file does.
func folder(s string) string {
	s = segment(s, maxSegment-1)
	if len(s) > 3 && strings.EqualFold(s[len(s)-3:], ".md") {
		s += "_"
	}
	return s
}

// segment makes a name that every file system takes, of at most max bytes.
func segment(s string, max int) string {
	s = strings.Map(safe, strings.ToValidUTF8(s, "_"))
	s = strings.TrimLeft(s, " ")
	if reserved.MatchString(s) || strings.HasPrefix(s, "~") {
		s = "_" + s
	}
	if len(s) > max {
		for s = s[:max]; !utf8.ValidString(s); {
			s = s[:len(s)-1]
		}
	}
	if s = strings.TrimRight(s, ". "); s == "" {
		return "_"
	}
	return s
}

// safe returns the character that stands for c in a name: "_" for what a file system refuses, what a shell's or an
// archive's paths give a meaning to, and what turns the direction in which a name is read.
func safe(c rune) rune {
	switch {
	case unicode.IsControl(c), strings.ContainsRune(`<>:"/\|?*%`, c), c == utf8.RuneError, c == '\ufeff',
		c == '\u2028', c == '\u2029', c >= '\u202a' && c <= '\u202e', c >= '\u2066' && c <= '\u2069', c == '\u200e', c == '\u200f':
		return '_'
	}
	return c
}
