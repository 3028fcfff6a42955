package reconcile

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold writes a text in lower case without accents; what is neither a letter nor a digit becomes a space.
func fold(text string) string {
	out := make([]byte, 0, len(text))
	for _, r := range foldable(text) {
		switch {
		case r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9'):
			out = append(out, byte(r))
		case r >= 'A' && r <= 'Z':
			out = append(out, byte(r)+'a'-'A')
		case r >= utf8.RuneSelf && unicode.Is(unicode.Mn, r):
		case r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			out = utf8.AppendRune(out, unicode.ToLower(r))
		default:
			out = append(out, ' ')
		}
	}
	return string(out)
}

// Fold writes a text in lower case without accents, with one space between its words: to search in.
func Fold(text string) string { return strings.TrimSpace(padded(text)) }

// foldable separates letters from their accents.
func foldable(text string) string {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return norm.NFKD.String(text)
		}
	}
	return text
}

// words are the words of a text, each once, in their order.
func words(text string) []string {
	var list []string
	for _, w := range strings.Fields(fold(text)) {
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}

// squeeze leaves the letters and digits of a text.
func squeeze(text string) string { return strings.ReplaceAll(fold(text), " ", "") }

// phrase is a sequence of words; the last may be the beginning of one ("pharm*").
type phrase struct {
	words  []string
	prefix bool
}

func parsePhrase(text string) phrase {
	p := phrase{prefix: strings.HasSuffix(text, "*")}
	p.words = strings.Fields(fold(text))
	return p
}

// in reports whether a folded text, surrounded by spaces, has the phrase.
func (p phrase) in(padded string) bool {
	if len(p.words) == 0 {
		return false
	}
	text := " " + strings.Join(p.words, " ")
	if !p.prefix {
		text += " "
	}
	return strings.Contains(padded, text)
}

func (p phrase) String() string { return strings.Join(p.words, " ") }

// padded is a folded text with one space between words and around them.
func padded(text string) string { return " " + strings.Join(strings.Fields(fold(text)), " ") + " " }

const (
	shortestWord   = 3 // of those that say who
	shortestPrefix = 4 // banks cut names short
	shortestNumber = 6
	longestText    = 512 // bytes of a text that are looked at
)

// name is who is on a bill: what to look for in the texts of operations.
type name struct {
	words []string
	size  int // letters of all words
}

// newName leaves out words that say nothing, such as "sarl".
func newName(text string, noise map[string]bool) name {
	var n name
	for _, w := range words(clip(text)) {
		if len(w) >= shortestWord && !noise[w] {
			n.words = append(n.words, w)
			n.size += len(w)
		}
	}
	return n
}

// found returns the words of a text that are of the name, and how much of it they are, of a hundred. Where a word of the name is
// there, the text's last word may be any beginning of another: banks cut texts short.
func (n name) found(text []string) (list []string, part int) {
	if n.size == 0 {
		return nil, 0
	}
	size := 0
	var open []string
	for _, w := range n.words {
		at := slices.IndexFunc(text, func(t string) bool { return t == w || len(t) >= shortestPrefix && strings.HasPrefix(w, t) })
		if at < 0 {
			open = append(open, w)
			continue
		}
		list, size = append(list, text[at]), size+len(w)
	}
	if last := text[len(text)-1]; len(list) > 0 && len(last) > 1 && !slices.Contains(list, last) {
		if at := slices.IndexFunc(open, func(w string) bool { return strings.HasPrefix(w, last) }); at >= 0 {
			list, size = append(list, last), size+len(open[at])
		}
	}
	return list, 100 * size / n.size
}

func clip(text string) string {
	if len(text) <= longestText {
		return text
	}
	return strings.ToValidUTF8(text[:longestText], "")
}
