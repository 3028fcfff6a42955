package webui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// words are all texts of all pages in one language.
type words struct {
	name    string // of the language: "fr"
	tag     language.Tag
	texts   map[string]string
	printer *message.Printer // writes numbers as the language does
	regions display.Namer
	zone    *time.Location
}

// readWords reads texts/LANGUAGE.json, each an object of texts by key. Every language must have every text; of one that
// depends on a number (KEY.one, KEY.other, …) it has those forms that it needs (CLDR plural categories).
func readWords(files fs.FS, zone *time.Location) (map[string]*words, error) {
	names, err := fs.Glob(files, "texts/*.json")
	if err != nil {
		return nil, err
	}
	all := map[string]*words{}
	for _, file := range names {
		w := &words{name: strings.TrimSuffix(path.Base(file), ".json"), zone: zone}
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &w.texts); err != nil {
			return nil, fmt.Errorf("the texts of %s: %w", file, err)
		}
		if w.tag, err = language.Parse(w.name); err != nil {
			return nil, fmt.Errorf("%s is not named by a language: %w", file, err)
		}
		w.printer, w.regions = message.NewPrinter(w.tag), display.Regions(w.tag)
		all[w.name] = w
	}
	return all, complete(all)
}

// Texts returns the texts of a language, as pages have them, for programs that say the same.
func Texts(lang string) (func(key string, args ...any) (string, error), error) {
	all, err := readWords(shared, time.Local)
	if err != nil {
		return nil, err
	}
	w, ok := all[lang]
	if !ok {
		return nil, errors.New("there is no such language: " + lang)
	}
	return w.text, nil
}

// complete says which language lacks a text that another one has.
func complete(all map[string]*words) error {
	every := map[string]bool{}
	for _, w := range all {
		for key := range w.texts {
			every[withoutForm(key)] = true
		}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		has := map[string]bool{}
		for key := range all[name].texts {
			has[withoutForm(key)] = true
		}
		for _, key := range slices.Sorted(maps.Keys(every)) {
			if !has[key] {
				faults = append(faults, fmt.Errorf("texts/%s.json lacks %q", name, key))
			}
		}
	}
	return errors.Join(faults...)
}

// forms are the endings of keys whose text depends on a number.
var forms = map[plural.Form]string{plural.Zero: ".zero", plural.One: ".one", plural.Two: ".two", plural.Few: ".few", plural.Many: ".many", plural.Other: ".other"}

func withoutForm(key string) string {
	for _, form := range forms {
		if rest, ok := strings.CutSuffix(key, form); ok {
			return rest
		}
	}
	return key
}

// text is a text of the language. %s and %d in it stand for the arguments.
func (w *words) text(key string, args ...any) (string, error) {
	text, ok := w.texts[key]
	if !ok {
		return "", fmt.Errorf("there is no text %q in %s", key, w.name)
	}
	if len(args) > 0 {
		return w.printer.Sprintf(text, args...), nil
	}
	return text, nil
}

// word is the text of one of several things, such as "field.title"; "" if there is none.
func (w *words) word(of, what string) string { return w.texts[of+"."+what] }

// count is a text whose form depends on a number, which is its first argument.
func (w *words) count(key string, n any, args ...any) (string, error) {
	i, err := integer(n)
	if err != nil {
		return "", err
	}
	form := plural.Cardinal.MatchPlural(w.tag, int(i%10_000_000), 0, 0, 0, 0)
	full := key + forms[form]
	if _, ok := w.texts[full]; !ok {
		full = key + forms[plural.Other]
	}
	return w.text(full, append([]any{i}, args...)...)
}

func integer(n any) (int64, error) {
	switch n := n.(type) {
	case int:
		return int64(n), nil
	case int64:
		return n, nil
	}
	return 0, fmt.Errorf("%v is no whole number", n)
}

// date writes a day in words.
func (w *words) date(at time.Time) (string, error) {
	if at.IsZero() {
		return "", nil
	}
	at = at.In(w.zone)
	month, err := w.text("month." + strconv.Itoa(int(at.Month())))
	if err != nil {
		return "", err
	}
	form := w.texts["date"]
	if first := w.texts["date.first"]; at.Day() == 1 {
		form = first
	}
	return strings.NewReplacer("{day}", strconv.Itoa(at.Day()), "{month}", month, "{year}", strconv.Itoa(at.Year())).Replace(form), nil
}

// day writes a day that is given as YYYY-MM-DD.
func (w *words) day(text string) (string, error) {
	at, err := time.ParseInLocation(time.DateOnly, text, w.zone)
	if err != nil {
		return text, nil
	}
	return w.date(at)
}

// moment writes a day and a time, and in which zone.
func (w *words) moment(at time.Time) (string, error) {
	if at.IsZero() {
		return "", nil
	}
	day, err := w.date(at)
	return day + ", " + at.In(w.zone).Format("15:04 MST"), err
}

// span writes an ISO 8601 duration in words.
func (w *words) span(text string) (string, error) {
	rest, ok := strings.CutPrefix(text, "P")
	var parts []string
	for clock := ""; ok && rest != ""; {
		if after, found := strings.CutPrefix(rest, "T"); found {
			rest, clock = after, "t"
			continue
		}
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i < 1 {
			return text, nil
		}
		n, err := strconv.Atoi(rest[:i])
		if err != nil {
			return text, nil
		}
		part, err := w.count("span."+clock+strings.ToLower(rest[i:i+1]), n)
		if err != nil {
			return "", err
		}
		parts, rest = append(parts, part), rest[i+1:]
	}
	if len(parts) == 0 {
		return text, nil
	}
	return strings.Join(parts, " "), nil
}

// size writes how many bytes something has.
func (w *words) size(n int64) (string, error) {
	units := []string{"size.b", "size.kb", "size.mb", "size.gb", "size.tb"}
	value, i := float64(n), 0
	for value >= 999.5 && i < len(units)-1 {
		value, i = value/1000, i+1
	}
	digits := 0
	if i > 0 && value < 9.95 {
		digits = 1
	}
	return w.text(units[i], number.Decimal(value, number.MaxFractionDigits(digits)))
}

// country names a country by its ISO 3166-1 code.
func (w *words) country(code string) string {
	region, err := language.ParseRegion(code)
	if err != nil {
		return code
	}
	if name := w.regions.Name(region); name != "" {
		return name
	}
	return code
}

// list joins words: "a, b and c".
func (w *words) list(items []string) (string, error) {
	and, err := w.text("and")
	if len(items) < 2 {
		return strings.Join(items, ""), err
	}
	last := len(items) - 1
	return strings.Join(items[:last], ", ") + " " + and + " " + items[last], err
}
