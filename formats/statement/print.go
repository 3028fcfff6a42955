package statement

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Text returns the statement for people to read, a few lines with the fingerprint to compare.
func (s *Signed) Text() string {
	var out strings.Builder
	st := &s.Statement
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "operator\t%s\n", st.LegalName)
	fmt.Fprintf(w, "id\t%s\n", st.ID)
	st.Operator.print(w)
	fmt.Fprintf(w, "statement\tversion %d of %s\n", st.Version, moment(st.Issued))
	fmt.Fprintf(w, "fingerprint\t%s\n", s.Fingerprint())
	for _, k := range st.Keys {
		fmt.Fprintf(w, "key for %s\t%s, %s\n", k.Use, k.Kid, k.period())
	}
	w.Flush()
	return out.String()
}

func (o *Operator) print(w *tabwriter.Writer) {
	if !o.Registered() {
		fmt.Fprintf(w, "registered\tnowhere: this operator names no register that it is in\n")
	}
	for _, r := range o.Registrations {
		fmt.Fprintf(w, "registered\t%s %s\n", r.Scheme, r.Value)
	}
	fmt.Fprintf(w, "role\t%s\n", strings.Join(o.DeclaredRoles(), ", "))
	if o.Country != "" {
		fmt.Fprintf(w, "country\t%s\n", o.Country)
	}
	if a := o.Address; a != nil {
		fmt.Fprintf(w, "address\t%s\n", joinWords(a.Street, a.PostalCode, a.Locality, a.Country))
	}
	if c := o.Contact; c != nil {
		fmt.Fprintf(w, "contact\t%s\n", joinWords(c.Email, c.Phone, c.URL))
	}
	if s := o.Supervisor; s != nil {
		fmt.Fprintf(w, "supervisor\t%s\n", joinWords(s.Name, s.Country, s.URL))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Endpoints)) {
		fmt.Fprintf(w, "endpoint\t%s: %s\n", name, o.Endpoints[name])
	}
}

func joinWords(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), ", ")
}

func (k *Key) period() string {
	text := "since " + day(k.Since)
	if k.Until != nil {
		text += " until " + day(*k.Until)
	}
	if k.Revoked != nil {
		text += fmt.Sprintf(", revoked on %s: %s", day(k.Revoked.At), k.Revoked.Reason)
	}
	return text
}
