package brand

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"regexp"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

var (
	slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	langForm = regexp.MustCompile(`^[a-z]{2,3}$`)
)

// legal reads the legal texts of a brand.
func (l *loader) legal(files []legalFile) []Legal {
	var list []Legal
	seen := map[string]bool{}
	for i, f := range files {
		where := fmt.Sprintf("brand.json: legal[%d]", i)
		made := Legal{Slug: f.Slug, Title: f.Title, URL: f.URL}
		if len(f.Title) == 0 {
			l.fault(where, errors.New("title is missing"))
		}
		for lang, title := range f.Title {
			l.fault(where+": title: "+lang, errors.Join(checkLanguage(lang), checkName(title)))
		}
		switch {
		case (f.URL == "") == (len(f.Text) == 0):
			l.fault(where, errors.New("it needs either text (a Markdown file for each language) or url"))
		case f.URL != "":
			l.fault(where, checkLink(f.URL))
		case !slugForm.MatchString(f.Slug) || seen[f.Slug]:
			l.fault(where, fmt.Errorf("slug %q: it needs one of its own, of small letters, digits and hyphens, because it is in the page's address", f.Slug))
		default:
			made.HTML = l.texts(where, f.Text)
		}
		seen[f.Slug] = true
		list = append(list, made)
	}
	return list
}

func checkLanguage(lang string) error {
	if !langForm.MatchString(lang) {
		return fmt.Errorf("%q is not a language such as fr (ISO 639)", lang)
	}
	return nil
}

func (l *loader) texts(where string, files map[string]string) map[string]template.HTML {
	made := map[string]template.HTML{}
	for lang, name := range files {
		l.fault(where+": text", checkLanguage(lang))
		markdown, err := l.read(name, maxText)
		if err == nil {
			made[lang], err = render(markdown)
		}
		l.fault(name, err)
	}
	return made
}

// render turns Markdown into HTML that loads and runs nothing. The page has a title already, so that headings begin at the
// second level; none is left out on the way down (WCAG 2.2, technique G141).
func render(markdown []byte) (template.HTML, error) {
	md := goldmark.New(goldmark.WithExtensions(extension.Table))
	doc := md.Parser().Parse(text.NewReader(markdown))
	if !doc.HasChildren() {
		return "", errors.New("the text is empty")
	}
	above := 1
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.RawHTML, *ast.HTMLBlock:
			return ast.WalkStop, errors.New("it holds HTML: a legal text is Markdown without it")
		case *ast.Image:
			return ast.WalkStop, errors.New("it holds an image: a legal text is text")
		case *ast.Heading:
			n.Level = min(max(n.Level, 2), above+1)
			above = n.Level
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := md.Renderer().Render(&out, markdown, doc); err != nil {
		return "", err
	}
	return template.HTML(out.String()), nil // written by goldmark, which escapes texts and drops dangerous addresses
}
