package web

import (
	"context"
	"html/template"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// asked is one thing that is asked for, or was allowed, as pages show it.
type asked struct {
	consent.Detail
	Index      int
	Said       string // the purpose, in the language of the page or in another one
	Language   string // which one
	Sets       []set
	Countries  []string
	Move       bool
	Answer     bool
	Continuous bool
}

// set is a dataset of what is asked for.
type set struct {
	Name     formats.Dataset
	Optional bool
	Fields   []string // empty: all of them
}

// notice is what is kept of what a person was shown.
type notice struct {
	Service  *consent.Service
	Operator string
	Privacy  string
	Details  []asked
	Advice   []string
	Laws     []string  // the words for the rule packs under which it stands
	Until    time.Time // of a consent that is given again; zero: as the details say
	Moving   *Moving   // where everything moves; nil: it does not
}

func shown(details []consent.Detail, lang string) []asked {
	list := make([]asked, len(details))
	for i, d := range details {
		a := asked{Detail: d, Index: i, Move: d.Type == consent.InstanceMove, Answer: d.Type == consent.Answer, Continuous: d.Frequency == "continuous", Language: lang, Said: d.Purpose.Text[lang]}
		for _, other := range []string{"en", "fr"} {
			if a.Said == "" {
				a.Language, a.Said = other, d.Purpose.Text[other]
			}
		}
		for _, name := range d.Datasets {
			if a.Answer {
				break // it sees nothing of them
			}
			a.Sets = append(a.Sets, set{name, slices.Contains(d.Optional, name), d.Fields[name]})
		}
		if d.ThirdCountry != nil {
			a.Countries = d.ThirdCountry.Countries
		}
		list[i] = a
	}
	return list
}

// inLanguage chooses a text in a language, or else in any.
func inLanguage(texts map[string]string, lang string) string {
	for _, l := range []string{lang, "en", "fr"} {
		if texts[l] != "" {
			return texts[l]
		}
	}
	for _, text := range texts {
		return text
	}
	return ""
}

// keep renders a notice, and keeps it before anybody sees it. of is the request, or the consent, that it is about.
func (w *Web) keep(ctx context.Context, of, lang string, n notice) (text template.HTML, hash string, err error) {
	n.Operator, n.Privacy = w.opt.Operator, inLanguage(n.Service.Notices, lang)
	details := make([]consent.Detail, len(n.Details))
	for i := range n.Details {
		details[i] = n.Details[i].Detail
	}
	n.Laws = w.opt.Authority.Laws(consent.Here, details)
	content, err := w.Fragment("notice", lang, n)
	if err != nil {
		return "", "", err
	}
	hash, err = w.opt.Authority.Show(ctx, consent.Notice{Request: of, Language: lang, Version: version, Content: content})
	return template.HTML(content), hash, err // rendered by html/template just above
}
