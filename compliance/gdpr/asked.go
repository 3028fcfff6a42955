package gdpr

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Where the law says "no more than necessary", a program needs a number. These leave room for whatever can be defended;
// a person, or another pack, may well want less.
const (
	// longest is how long a consent lasts at most: two years. After that nobody remembers what they agreed to; renewing
	// takes one click.
	longest = 2 * 366 * 24 * time.Hour
	// keptMost is how long what was read is kept at most, in seconds: ten years, which is as long as the books of a
	// business are kept (in France, code de commerce, art. L. 123-22).
	keptMost = 10 * year
	// mostSets is how many datasets one purpose can need. Of the fifteen, ten hold what a life leaves behind; the others
	// are passwords, consents, shares, settings, and what nobody could sort. Who wants more than ten has not chosen.
	mostSets = 10
	// A purpose is said in words if these are at least as many, with as many letters. "Service provision" is a heading.
	leastWords   = 3
	leastLetters = 10
)

// languages are those in which a person can be asked here.
var languages = []string{"en", "fr"}

// purposeNamed: data are collected for specified purposes.
func purposeNamed(f consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Purpose.IRI != "" {
		return nil
	}
	return refusal("purpose-missing", "5(1)(b)",
		"The service does not say what kind of purpose it wants the data for.",
		"Le service ne dit pas pour quel type de finalité il veut les données.",
		`Add the "iri" of one of the purposes that you registered. Example: "purpose": {"iri": `+registered(f)+`}`)
}

// purposeRegistered: and for no others than those that the operator knows of.
func purposeRegistered(f consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Purpose.IRI == "" || slices.Contains(f.Service.Purposes, d.Purpose.IRI) {
		return nil
	}
	return refusal("purpose-not-registered", "5(1)(b)",
		"The service asks for a purpose that it has not declared to the operator.",
		"Le service invoque une finalité qu’il n’a pas déclarée à l’opérateur.",
		fmt.Sprintf(`You registered these purposes: %s. Use one of them as "iri", or have the operator register this one. Example: "purpose": {"iri": %s}`,
			strings.Join(f.Service.Purposes, ", "), registered(f)))
}

// registered is a purpose of the service, as JSON.
func registered(f consent.Facts) string {
	if len(f.Service.Purposes) == 0 {
		return `"https://w3id.org/dpv#ServiceProvision"`
	}
	return quote(f.Service.Purposes[0])
}

// quote writes a value as JSON, as it stands in an example.
func quote(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "…"
	}
	return string(text)
}

const exampleText = `Example: "purpose": {"text": {"en": "To send your invitations to the people whom you know", "fr": "Envoyer vos invitations aux personnes que vous connaissez"}}`

// purposeInWords: the purpose is told in plain language, and nobody is told anything by an identifier. One language is
// enough, but what is there in the other one must be words too: somebody is going to read it.
func purposeInWords(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	told := false
	for _, language := range languages {
		text, there := d.Purpose.Text[language]
		if there && !inWords(text) {
			told = false
			break
		}
		told = told || there
	}
	if told {
		return nil
	}
	return refusal("purpose-not-in-words", "12(1)",
		"The service does not say in plain words what it wants the data for.",
		"Le service n’explique pas en mots simples à quoi serviront les données.",
		`Say it to the person, as "text" in English or French, better in both: a sentence, not a keyword. `+exampleText)
}

// inWords reports whether a text is more than a heading or an address.
func inWords(text string) bool {
	words, letters := 0, 0
	for _, part := range strings.Fields(text) {
		if strings.Contains(part, "://") {
			continue
		}
		for _, word := range strings.FieldsFunc(part, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
			words++
			letters += len([]rune(word))
		}
	}
	return words >= leastWords && letters >= leastLetters
}

// healthInBothLanguages: data about health need an explicit consent. Nobody agrees explicitly to what they cannot read,
// and nobody knows yet in which of the languages this person will be asked. Other datasets may hold data of special
// categories too (notes, photos, bank); but only health always does.
func healthInBothLanguages(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	told := 0
	for _, language := range languages {
		if strings.TrimSpace(d.Purpose.Text[language]) != "" {
			told++
		}
	}
	if !slices.Contains(d.Datasets, formats.Health) || told == len(languages) || told == 0 { // 0: it is not in words at all
		return nil
	}
	return refusal("health-purpose-not-in-both-languages", "9(2)(a)",
		"The service asks for data about health, and does not say what for in every language in which people are asked.",
		"Le service demande des données de santé sans dire pourquoi dans chacune des langues où les personnes sont interrogées.",
		`Whoever asks for "health" gives the "text" of the purpose in English and in French. `+exampleText)
}

// retentionStated: for how long it is kept.
func retentionStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if _, ok := seconds(d.Retention); ok {
		return nil
	}
	return refusal("retention-missing", "13(2)(a)",
		"The service does not say for how long it keeps the data.",
		"Le service ne dit pas combien de temps il conserve les données.",
		`Say for how long you keep what you read: an ISO 8601 duration. Example: "retention": "P30D"`)
}

// retentionBounded: and no longer than necessary.
func retentionBounded(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if kept, ok := seconds(d.Retention); !ok || kept <= keptMost {
		return nil
	}
	return refusal("retention-too-long", "5(1)(e)",
		"The service would keep the data for more than ten years.",
		"Le service conserverait les données plus de dix ans.",
		`Keep the data for ten years at most, and no longer than the purpose needs. Example: "retention": "P1Y"`)
}

// recipientsStated: who else gets it.
func recipientsStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if len(d.Recipients) > 0 || d.NoRecipients {
		return nil
	}
	return refusal("recipients-missing", "13(1)(e)",
		"The service does not say who else gets the data.",
		"Le service ne dit pas qui d’autre recevra les données.",
		`Name all who get the data besides you, processors too, or say "no_recipients": true. Example: "recipients": [{"name": "Mailer GmbH", "country": "DE"}]`)
}

// thirdCountryStated: whether it leaves the European Economic Area.
func thirdCountryStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.ThirdCountry != nil {
		return nil
	}
	return refusal("third-country-missing", "13(1)(f)",
		"The service does not say whether the data leave the European Economic Area.",
		"Le service ne dit pas si les données quittent l’Espace économique européen.",
		`If nothing leaves the European Economic Area, say "third_country": "none"; else say where it goes, and what protects it there. `+exampleCountry([]string{"US"}))
}

func exampleCountry(countries []string) string {
	return `Example: "third_country": {"countries": ` + quote(countries) + `, "safeguard": "Standard contractual clauses, https://service.example/clauses"}`
}

// thirdCountriesNamed: and what is said of that must fit what else is said: data go where the service is, and where
// those are who get it.
func thirdCountriesNamed(f consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.ThirdCountry == nil {
		return nil
	}
	all := slices.Clone(d.ThirdCountry.Countries)
	add := func(country string) {
		if country != "" && !slices.Contains(area, country) && !slices.Contains(all, country) {
			all = append(all, country)
		}
	}
	add(f.Service.Country)
	for _, r := range d.Recipients {
		add(r.Country)
	}
	if len(all) == len(d.ThirdCountry.Countries) {
		return nil
	}
	missing := strings.Join(all[len(d.ThirdCountry.Countries):], ", ")
	return refusal("third-country-not-named", "13(1)(f)",
		"The data would go to countries outside the European Economic Area that the service does not name: "+missing+".",
		"Les données iraient dans des pays hors de l’Espace économique européen que le service ne nomme pas : "+missing+".",
		`You, or "recipients", are there. Name all these countries, and what protects the data in them (an adequacy decision, for instance). `+exampleCountry(all))
}

// safeguardStated: and what protects it there.
func safeguardStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.ThirdCountry == nil || len(d.ThirdCountry.Countries) == 0 || strings.TrimSpace(d.ThirdCountry.Safeguard) != "" {
		return nil
	}
	return refusal("safeguard-missing", "13(1)(f)",
		"The service does not say what protects the data outside the European Economic Area.",
		"Le service ne dit pas ce qui protège les données hors de l’Espace économique européen.",
		`Add the "safeguard" (an adequacy decision, standard contractual clauses, …), and where it can be read. `+exampleCountry(d.ThirdCountry.Countries))
}

// area is the European Economic Area, with those parts of France and Finland that have codes of their own and are in
// the Union (ISO 3166-1).
var area = []string{
	"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
	"IS", "LI", "NO",
	"AX", "GF", "GP", "MF", "MQ", "RE", "YT",
}

// endStated: a consent does not last for ever.
func endStated(f consent.Facts, d *consent.Detail) *consent.Refusal {
	if !d.Expires.IsZero() {
		return nil
	}
	return refusal("end-missing", "5(1)(e)",
		"The service does not say when the access is to end.",
		"Le service ne dit pas quand l’accès prendra fin.",
		"Say when the consent is to end. "+exampleEnd(f))
}

// endBounded: nor for so long that it is forgotten.
func endBounded(f consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Expires.IsZero() || d.Expires.Sub(f.Now) <= longest {
		return nil
	}
	return refusal("end-too-far", "5(1)(e)",
		"The access would last for more than two years without the person being asked again.",
		"L’accès durerait plus de deux ans sans que la personne soit consultée à nouveau.",
		"Let the consent end within two years; the person can renew it. "+exampleEnd(f))
}

func exampleEnd(f consent.Facts) string {
	return `Example: "expires": "` + f.Now.UTC().AddDate(1, 0, 0).Format(time.RFC3339) + `"`
}

// frequencyStated: how often it is read. Without that a person does not know whether it is once or for ever.
func frequencyStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Frequency != "" {
		return nil
	}
	return refusal("frequency-missing", "5(1)(a)",
		"The service does not say how often it reads the data.",
		"Le service ne dit pas à quelle fréquence il lit les données.",
		`Say "once", "continuous", or an ISO 8601 duration: once in so long. Example: "frequency": "P1D"`)
}

// frequencyMeant: and who wants to be told of changes does not read once.
func frequencyMeant(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Frequency != "once" || !slices.Contains(d.Actions, consent.Subscribe) {
		return nil
	}
	return refusal("frequency-contradicted", "5(1)(a)",
		"The service says that it reads the data once, and wants to be told of every change.",
		"Le service dit lire les données une seule fois, et veut être averti de chaque changement.",
		`Leave "subscribe" out of "actions", or say how often. Example: "frequency": "continuous"`)
}

// windowUnderstood: a period limits what is read only if it is one.
func windowUnderstood(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if isDay(d.From) && isDay(d.To) && (d.To == "" || d.From <= d.To) {
		return nil
	}
	return refusal("window-not-understood", "5(1)(c)",
		"The days from which and up to which data would be read are not a period.",
		"Les jours de début et de fin des données à lire ne forment pas une période.",
		`Give days, the first one first; either can be left out. Example: "from": "2026-01-01", "to": "2026-12-31"`)
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return s == "" || err == nil
}

// passwordsNotComputed: the vault is encrypted. To compute anything from it, it would have to be open here.
func passwordsNotComputed(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if !slices.Contains(d.Datasets, formats.Passwords) || !slices.Contains(d.Actions, consent.Compute) {
		return nil
	}
	return refusal("passwords-computed", "5(1)(f)",
		"The service wants something computed from the person’s passwords. Nobody here can open them, and nobody should.",
		"Le service veut faire calculer quelque chose à partir des mots de passe de la personne. Personne ici ne peut les ouvrir, et personne ne le doit.",
		`Leave "passwords" out of "datasets", or "compute" out of "actions". Example: "actions": ["read"]`)
}

// notEverything: data are limited to what is necessary for their purpose, and everything never is. What is asked for one
// purpose in several details counts together.
func notEverything(f consent.Facts) *consent.Refusal {
	sets := map[string][]formats.Dataset{} // by purpose
	for _, d := range details(f) {
		purpose := d.Purpose.IRI
		for _, set := range d.Datasets {
			if !slices.Contains(sets[purpose], set) {
				sets[purpose] = append(sets[purpose], set)
			}
		}
		if len(sets[purpose]) > mostSets {
			return refusal("too-much", "5(1)(c)",
				"The service asks for nearly everything that there is, for a single purpose.",
				"Le service demande presque tout ce qui existe, pour une seule finalité.",
				fmt.Sprintf(`Ask for less: at most %d "datasets" for a purpose, and only those "fields" that you need. Example: "datasets": ["contacts"], "fields": {"contacts": ["name", "emails"]}`, mostSets))
		}
	}
	return nil
}

// destinationNamed: a move goes from one controller straight to another, and the person knows to which.
func destinationNamed(f consent.Facts) *consent.Refusal {
	if !slices.ContainsFunc(details(f), func(d consent.Detail) bool {
		return d.Type == consent.InstanceMove && strings.TrimSpace(d.Destination) == ""
	}) {
		return nil
	}
	return refusal("destination-missing", "20(2)",
		"It is not said to which operator everything would move.",
		"Il n’est pas dit vers quel opérateur tout serait déplacé.",
		`Name the operator that the instance moves to. Example: "destination": "https://other-operator.example"`)
}

// privacyNotice: the rest of the information is somewhere.
func privacyNotice(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepAsk {
		return nil
	}
	for _, address := range f.Service.Notices {
		if address != "" {
			return nil
		}
	}
	return refusal("privacy-notice-missing", "13",
		"The service has no privacy notice.",
		"Le service n’a pas de politique de confidentialité.",
		`Have the operator add it to your registration. Example: "privacy_notices": {"en": "https://service.example/privacy"}`)
}

const (
	day  = 24 * 60 * 60 // seconds
	year = 366 * day
)

// seconds reads an ISO 8601 duration. A year is as long as years are, and a month is a twelfth of it.
func seconds(text string) (total int64, ok bool) {
	date, clock, timed := strings.Cut(text, "T")
	date, ok = strings.CutPrefix(date, "P")
	if !ok || date == "" && clock == "" || timed && clock == "" {
		return 0, false
	}
	most, ok := sum(date, map[byte]int64{'Y': year, 'M': year / 12, 'W': 7 * day, 'D': day})
	rest, fine := sum(clock, map[byte]int64{'H': 60 * 60, 'M': 60, 'S': 1})
	return most + rest, ok && fine
}

// sum adds up numbers with their units.
func sum(text string, units map[byte]int64) (total int64, ok bool) {
	for text != "" {
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		if digits == 0 || digits > 5 || digits == len(text) || units[text[digits]] == 0 { // five, so that nothing overflows
			return 0, false
		}
		n, err := strconv.ParseInt(text[:digits], 10, 64)
		if err != nil {
			return 0, false
		}
		total += n * units[text[digits]]
		delete(units, text[digits]) // each stands once
		text = text[digits+1:]
	}
	return total, true
}
