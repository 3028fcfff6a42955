package markdown

import (
	"regexp"
	"strings"
)

var (
	atxHeading = regexp.MustCompile(`^ {0,3}#{1,6}(?:[ \t]+(.*))?$`)                       // CommonMark 0.31 section 4.2
	atxClosing = regexp.MustCompile(`(?:^|[ \t]+)#+$`)                                     // the same
	setextLine = regexp.MustCompile(`^ {0,3}(?:=+|-+)$`)                                   // section 4.3
	fence      = regexp.MustCompile("^ {0,3}(?:(`{3,})[^`]*|(~{3,}).*)$")                  // section 4.5
	otherBlock = regexp.MustCompile(`^(?: {4,}|\t| {0,3}(?:[>#]|[-+*] |[0-9]{1,9}[.)] ))`) // what begins another block than a paragraph
)

// heading returns the text of the first heading, or "" if there is none. What looks like front matter, and code
// between fences, is passed over. Emphasis and the like stay as they are written.
func heading(markdown []byte) string {
	_, rest := split(markdown, "---", "...")
	_, rest = split(rest, "+++", "+++")
	code, above := "", ""
	for len(rest) > 0 {
		var line string
		line, rest = cutLine(rest)
		switch opening := fenceOf(line); {
		case code != "":
			if opening != "" && opening[0] == code[0] && len(opening) >= len(code) && strings.TrimSpace(line) == opening {
				code = ""
			}
		case opening != "":
			code, above = opening, ""
		case atxHeading.MatchString(line):
			if title := atxTitle(line); title != "" {
				return title
			}
		case above != "" && setextLine.MatchString(line):
			return above
		default:
			above = ""
			if !otherBlock.MatchString(line) {
				above = strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// fenceOf returns the marks that open or close a block of code, or "".
func fenceOf(line string) string {
	m := fence.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

func atxTitle(line string) string {
	title := atxHeading.FindStringSubmatch(line)[1]
	return strings.TrimSpace(atxClosing.ReplaceAllString(strings.TrimSpace(title), ""))
}
