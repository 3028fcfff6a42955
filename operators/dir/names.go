package dir

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// names says which names a file system takes.
type names string

const (
	anyBytes names = "posix"    // anything but NUL and slashes
	unicode  names = "unicode"  // only UTF-8
	portable names = "portable" // only what Windows takes
)

const (
	setAside     = "~passerelle~" // begins the name of what cannot have its own name on disk
	maxComponent = 255            // bytes
	maxLocation  = 3000           // bytes; PATH_MAX is 4096, and the root has a path too
)

var (
	reservedName = regexp.MustCompile(`^(?i:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])( *\.|$)`)
	plainSuffix  = regexp.MustCompile(`\.[A-Za-z0-9-]{1,16}$`)
)

// location returns where below the root a path of the person's tree is kept. Different paths have different
// locations; nearly all are their own.
func (n names) location(treePath string) string {
	parts := strings.Split(treePath, "/")
	for i, p := range parts {
		if !n.takes(p) || i == 0 && strings.EqualFold(p, systemDir) {
			parts[i] = asideName(p)
		}
	}
	at := strings.Join(parts, "/")
	if len(at) > maxLocation {
		return asideName(treePath)
	}
	return at
}

func asideName(name string) string {
	return setAside + formats.HashOf([]byte(name)).String()[:32] + plainSuffix.FindString(name)
}

func (n names) takes(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxComponent || strings.Contains(name, "\x00") || strings.HasPrefix(name, setAside) {
		return false
	}
	if n != portable {
		return true
	}
	refused := strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`<>:"\|?*`, r) })
	return !refused && !strings.HasSuffix(name, " ") && !strings.HasSuffix(name, ".") && !reservedName.MatchString(name)
}

// locationOf returns where the file or folder of a record is kept. A name that was not UTF-8 is restored where the
// disk takes it and the record's path is the one that this package makes from it.
func (n names) locationOf(r *formats.Record) string {
	_, treePath := formats.SplitPath(r.Path)
	if raw := n.rawPath(r); raw != "" {
		return raw
	}
	return n.location(treePath)
}

// rawPath returns the bytes of a path that is not UTF-8, if the record has one that can be used as it is.
func (n names) rawPath(r *formats.Record) string {
	if n != anyBytes || !strings.Contains(string(r.Body), `"nameBytes"`) {
		return ""
	}
	body, err := formats.BodyAs[struct {
		NameBytes []byte `json:"nameBytes"`
	}](*r)
	if raw := string(body.NameBytes); err == nil && !utf8.ValidString(raw) && n.location(raw) == raw && formats.Tree.Place(textPath(raw)) == r.Path {
		return raw
	}
	return ""
}

// textPath makes UTF-8 of a path that is not.
func textPath(raw string) string {
	parts := strings.Split(raw, "/")
	for i, p := range parts {
		parts[i] = textName(p)
	}
	return strings.Join(parts, "/")
}

// textName makes UTF-8 of a name that is not: U+FFFD for what is no character, and a mark before its extension that
// tells apart names which differ only there.
func textName(raw string) string {
	if utf8.ValidString(raw) {
		return raw
	}
	text := strings.ToValidUTF8(raw, "\uFFFD")
	stem, ext := formats.SplitExt(text)
	return stem + "~" + formats.HashOf([]byte(raw)).String()[:8] + ext
}

// fileID returns the record id of a file or folder by its path in the tree, given as the disk has it.
func fileID(raw string) string {
	if len(raw) <= 512 && !strings.HasPrefix(raw, "h:") && validID(raw) {
		return raw
	}
	return hashedID(raw)
}

func hashedID(raw string) string { return "h:" + formats.HashOf([]byte(raw)).String()[:32] }

func validID(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return false
		case c >= utf8.RuneSelf:
			return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
		}
	}
	return true
}
