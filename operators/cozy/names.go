package cozy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxName is the longest name of a file or folder, in bytes, that a Cozy takes.
const maxName = 254

// cozyName returns a name that a Cozy takes, the same for the same name: it refuses newlines, slashes, ".", "..", the
// empty name and names of 255 bytes and more.
func cozyName(name string) string {
	safe := strings.NewReplacer("\n", "_", "\r", "_").Replace(safeName(name))
	if len(safe) <= maxName {
		return safe
	}
	return shortened(safe, fmt.Sprintf("~%x", digestOf(name))[:9])
}

// shortened cuts a name between characters, so that it is short enough with a mark before its extension.
func shortened(name, mark string) string {
	ext := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 16 {
		ext = name[i:]
	}
	end := min(maxName-len(mark)-len(ext), len(name)-len(ext))
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + mark + ext
}

var (
	hexID  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	uuidID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	revID  = regexp.MustCompile(`^[0-9]{1,9}-[0-9a-zA-Z]+$`)
)

// shaped reports whether an id looks as if a Cozy had made it: such ids are kept wherever they come from.
func shaped(doctype, id string) bool {
	if doctype == doctypeVersions {
		file, rev, ok := strings.Cut(id, "/")
		return ok && shaped(doctypeFiles, file) && revID.MatchString(rev)
	}
	return hexID.MatchString(id) || uuidID.MatchString(id) || strings.HasPrefix(id, "io.cozy.") && importable(doctype, id)
}

// importable reports whether a Cozy can import a document of its own with that id. Ids of less than four characters
// make it crash.
func importable(doctype, id string) bool {
	if len(id) < 4 || len(id) > 400 || id[0] == '_' || !utf8.ValidString(id) || strings.ContainsAny(id, "\\\x00\r\n") {
		return false
	}
	slashes := strings.Count(id, "/")
	for part := range strings.SplitSeq(id, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return doctype != doctypeFiles || slashes == 0
}

// madeID returns the id, 32 hexadecimal digits, of the document for a record that comes from elsewhere.
func madeID(d formats.Dataset, id string) string {
	sum := sha256.Sum256([]byte(string(d) + "\x00" + id))
	return hex.EncodeToString(sum[:16])
}

// defaultRef returns the doctype and id that a record's document has unless the record itself says otherwise: what
// a link can know of a record that was not seen.
func defaultRef(d formats.Dataset, id string) (string, string) {
	if doctype, rest := documentID(d, id); doctype != "" && shaped(doctype, rest) {
		return doctype, rest
	}
	if doctype := mainDoctype(d); doctype != "" {
		return doctype, madeID(d, id)
	}
	return ownPrefix + string(d), madeID(d, id)
}

// rounded returns the first number of a document that a Cozy would change, since it keeps numbers as 64-bit floats.
func rounded(b []byte) string {
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			i = skipString(b, i)
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(b) && strings.IndexByte("0123456789.eE+-", b[end]) >= 0 {
				end++
			}
			if n := string(b[i:end]); len(n) > 15 && !survives(n) || strings.ContainsAny(n, "eE") && !survives(n) {
				return n
			}
			i = end
		default:
			i++
		}
	}
	return ""
}

// survives reports whether a number is the same after it was a 64-bit float.
func survives(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || len(number) > 400 {
		return false
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(number), "e"); ok && len(exponent) > 4 {
		return false // nobody's number, and too large to compare
	}
	was, ok := new(big.Rat).SetString(number)
	is, ok2 := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && ok2 && was.Cmp(is) == 0
}
