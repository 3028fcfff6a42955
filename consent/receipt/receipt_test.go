package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

var update = flag.Bool("update", false, "write the golden files anew")

func write(t interface {
	Helper()
	Fatal(...any)
}, f Facts) (Receipt, []byte) {
	t.Helper()
	r, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return r, data
}

func mandatory(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "mandatory.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func tree(t *testing.T, data []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestMandatoryMembersInEveryStateOfEachKind(t *testing.T) {
	schema := mandatory(t)
	for kind, d := range details {
		for _, state := range states {
			t.Run(string(kind)+"/"+string(state), func(t *testing.T) {
				f := facts(d)
				f.Revisions[0].State = state
				r, data := write(t, f)
				if err := schema.Validate(tree(t, data)); err != nil {
					t.Fatalf("%v\n%s", err, data)
				}
				if kind == consent.InstanceMove {
					if r.Type != rightNotice || r.Records[0].Type != rightRecord || r.Records[0].ConsentStatus != nil {
						t.Errorf("an authorisation to move became a %s with a %s", r.Type, r.Records[0].Type)
					}
				} else if got := r.Records[0].ConsentStatus[0].Types; !slices.Equal(got, []string{"dpv:" + string(state)}) {
					t.Errorf("the state is %v", got)
				}
			})
		}
	}
}

func TestTheSchemaMissesWhatIsMissing(t *testing.T) {
	schema := mandatory(t)
	_, data := write(t, facts(details[consent.PersonalData]))
	for _, name := range []string{"dct:conformsTo", "dct:identifier", "dpv:hasDataSubject", "dpv:hasJurisdiction", "dpv:hasNotice", "dpv:hasProcess", "dpv:hasDataController",
		"dpv:hasConsentControl", "dpv:hasRight", "dpv:hasConsentStatus"} {
		root := tree(t, data).(map[string]any)
		delete(root["dpv:hasRecordOfActivity"].([]any)[0].(map[string]any), name)
		if schema.Validate(root) == nil {
			t.Errorf("a record without %s passed", name)
		}
		text, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		var r Receipt
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if err := r.check(); !errors.Is(err, ErrIncomplete) {
			t.Errorf("check says %v of a record without %s", err, name)
		}
	}
}

func TestWhatIsIncompleteIsNotMade(t *testing.T) {
	for name, change := range map[string]func(*Facts){
		"hasNotice":            func(f *Facts) { f.Notices = nil },
		"hasAddress":           func(f *Facts) { f.Service.Address = "" },
		"hasConsentControl":    func(f *Facts) { f.Control = "" },
		"hasDataSubject":       func(f *Facts) { f.Subject.ID = "" },
		"hasProcess":           func(f *Facts) { f.Revisions[0].Details[0].Datasets = nil },
		"who the operator is":  func(f *Facts) { f.Operator.LegalName = "" },
		"is not a UUID":        func(f *Facts) { f.Consent.ID = "grant"; f.Revisions[0].Consent = "grant" },
		"whose copy it is":     func(f *Facts) { f.For = "" },
		"a revision":           func(f *Facts) { f.Revisions = nil },
		"says nothing":         func(f *Facts) { f.Revisions[0].Details = nil },
		"of the consent":       func(f *Facts) { f.Revisions[0].Consent = "other" },
		"not what its hash":    func(f *Facts) { f.Notices[0].Content = []byte("another notice") },
		"isIndicatedAtTime":    func(f *Facts) { f.Revisions[0].At = time.Time{} },
		"language of the noti": func(f *Facts) { f.Notices[0].Language = "" },
	} {
		f := facts(details[consent.PersonalData])
		change(&f)
		if _, err := New(f); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLegalBasis(t *testing.T) {
	health, account, gdprAccount := details[consent.PersonalData], details[consent.AccountInformation], details[consent.AccountInformation]
	gdprAccount.Regime = "gdpr@2018-05-25"
	for _, c := range []struct {
		detail consent.Detail
		want   [][]string // of each process
	}{
		{health, [][]string{{"eu-gdpr:A6-1-a"}, {"eu-gdpr:A6-1-a", "eu-gdpr:A9-2-a"}, {"eu-gdpr:A6-1-a"}}},
		{account, [][]string{{"eu-gdpr:A6-1-b", "eu-psd2:A67-2-a"}}},
		{gdprAccount, [][]string{{"eu-gdpr:A6-1-a"}}},
	} {
		r, _ := write(t, facts(c.detail))
		var got [][]string
		for _, p := range r.Records[0].Processes {
			got = append(got, p.LegalBasis)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.detail.Type, got, c.want)
		}
		if withdraw := r.Records[0].Rights[0].Types[0] == "eu-gdpr:A7-3"; withdraw != (c.want[0][0] == onConsent) {
			t.Errorf("%s on %v: the right to withdraw consent is said: %v", c.detail.Type, c.want, withdraw)
		}
	}
	r, _ := write(t, facts(details[consent.InstanceMove]))
	if a := r.Records[0].Activities[0]; a.Processes[0].LegalBasis != nil || a.Rights[0].Types[0] != "eu-gdpr:A20" {
		t.Errorf("a move rests on %v, %v", a.Processes[0].LegalBasis, a.Rights)
	}
}

func TestWhoActed(t *testing.T) {
	base := "urn:uuid:" + grant
	for _, c := range []struct {
		state        consent.State
		method, want string
	}{
		{consent.Given, "password", base + "#person"}, {consent.Withdrawn, "passkey", base + "#person"}, {consent.Refused, "", base + "#person"},
		{consent.Requested, "", base + "#service"}, {consent.Revoked, "service", base + "#service"}, {consent.Revoked, "operator", "https://operator.example"},
		{consent.Revoked, "", "https://operator.example"}, {consent.Expired, "time", "https://operator.example"}, {consent.Invalidated, "", "https://operator.example"},
	} {
		f := facts(details[consent.PersonalData]).then(c.state, c.method, "")
		r, _ := write(t, f)
		if got := r.Records[1].ConsentStatus[0].By; got != c.want {
			t.Errorf("%s by %q: %s, want %s", c.state, c.method, got, c.want)
		}
	}
}

func TestARevisionReplacesTheOneBefore(t *testing.T) {
	f := facts(details[consent.PersonalData]).then(consent.Withdrawn, "password", "enough")
	r, _ := write(t, f)
	if first, second := r.Records[0], r.Records[1]; first.Replaces != "" || second.Replaces != first.ID || second.VersionOf != first.VersionOf || second.Version != 2 {
		t.Errorf("%s (version %d) replaces %q; the first is %s", second.ID, second.Version, second.Replaces, first.ID)
	}
	before, _ := write(t, facts(details[consent.PersonalData]))
	f.Revisions = f.Revisions[1:]
	after, _ := write(t, f)
	if before.Replaces != "" || after.Replaces != before.ID || after.Records[0].Replaces != before.Records[0].ID {
		t.Errorf("the receipt %s replaces %q, not %s", after.ID, after.Replaces, before.ID)
	}
	f.For = ForService
	if other, _ := write(t, f); other.ID == after.ID || other.Recipient == after.Recipient || other.Records[0].ID != after.Records[0].ID {
		t.Error("the copies of person and service are not told apart, or are of different records")
	}
}

func TestTimeAloneEndsAConsent(t *testing.T) {
	f := facts(details[consent.PersonalData], details[consent.InstanceMove])
	given, _ := write(t, f)
	f.Consent.State = consent.Expired
	r, _ := write(t, f)
	if s := r.Records[0].ConsentStatus; len(s) != 2 || s[1].Types[0] != "dpv:ConsentExpired" || !s[1].At.Equal(expires) {
		t.Errorf("status %+v", s)
	}
	if r.ID == given.ID || !r.Created.Equal(expires) || !slices.Equal(r.Records[1].ActivityStatus, []string{"dpv:ActivityHalted"}) {
		t.Errorf("the receipt %s of %s has the status %v", r.ID, r.Created, r.Records[1].ActivityStatus)
	}
}

func TestOneDecisionMayGiveConsentAndExerciseARight(t *testing.T) {
	r, data := write(t, facts(details[consent.InstanceMove], details[consent.AccountInformation]))
	if r.Type != consentReceipt || len(r.Records) != 2 || r.Records[0].Type != consentRecord || r.Records[1].Type != rightRecord {
		t.Errorf("%s", data)
	}
	if err := mandatory(t).Validate(tree(t, data)); err != nil {
		t.Error(err)
	}
}

func TestEveryDatasetHasACategory(t *testing.T) {
	for _, set := range formats.Datasets() {
		if len(categories[set]) == 0 {
			t.Errorf("%s has none", set)
		}
	}
}

// TestJSONLD holds receipts against their own @context: each member has a prefix that it declares, and so has each value
// that stands for an IRI, unless it is one. Terms of our own are defined in the vocabulary that we publish.
func TestJSONLD(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		_, data := write(rt, anyFacts.Draw(rt, "facts"))
		var root map[string]any
		if err := json.Unmarshal(data, &root); err != nil {
			rt.Fatal(err)
		}
		declared := root["@context"].(map[string]any)
		delete(root, "@context")
		isIRI := func(s string) bool {
			prefix, rest, ok := strings.Cut(s, ":")
			_, known := declared[prefix].(string)
			if prefix == "eu-psd2" && !bytes.Contains(PSD2, []byte("\n"+s+" a ")) {
				return false
			}
			return ok && rest != "" && (known && !strings.Contains(rest, " ") || slices.Contains([]string{"https", "http", "urn", "mailto"}, prefix))
		}
		var walk func(member string, value any)
		walk = func(member string, value any) {
			switch v := value.(type) {
			case map[string]any:
				for _, name := range slices.Sorted(maps.Keys(v)) {
					prefix, _, _ := strings.Cut(name, ":")
					if _, ok := declared[prefix].(string); !ok && !slices.Contains([]string{"@id", "@type", "@language", "@value"}, name) {
						rt.Errorf("no prefix is declared for %q", name)
					}
					walk(name, v[name])
				}
			case []any:
				for _, one := range v {
					walk(member, one)
				}
			case string:
				rule, _ := declared[member].(map[string]any)
				if (rule["@type"] == "@id" || member == "@id" || member == "@type") && !isIRI(v) {
					rt.Errorf("%s: %q is no IRI", member, v)
				}
			}
		}
		walk("", root)
	})
}

func TestContextNamesOnlyDeclaredPrefixes(t *testing.T) {
	var declared map[string]any
	if err := json.Unmarshal(inlineContext, &declared); err != nil {
		t.Fatal(err)
	}
	for name, value := range declared {
		prefix, _, isTerm := strings.Cut(name, ":")
		if iri, ok := declared[prefix].(string); !ok || !regexp.MustCompile(`^https?://.*[/#]$`).MatchString(iri) {
			t.Errorf("%s: %v", name, value)
		}
		if isTerm && reflect.TypeOf(value).Kind() != reflect.Map {
			t.Errorf("%s: %v", name, value)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := anyFacts.Draw(rt, "facts")
		r, data := write(rt, f)
		if _, again := write(rt, f); !bytes.Equal(again, data) {
			rt.Fatal("the same facts made other bytes")
		}
		read, err := ParseReceipt(data)
		if err != nil {
			rt.Fatalf("%v\n%s", err, data)
		}
		if !reflect.DeepEqual(read, r) {
			rt.Fatalf("read\n%+v\nwritten\n%+v", read, r)
		}
	})
}

func TestParseRefusesOtherForms(t *testing.T) {
	_, data := write(t, facts(details[consent.PersonalData]))
	for name, change := range map[string]func(string) string{
		"unknown member": func(s string) string { return strings.Replace(s, `{"@context"`, `{"x":1,"@context"`, 1) },
		"member twice":   func(s string) string { return strings.Replace(s, `{"@context"`, `{"@id":"x","@context"`, 1) },
		"another case":   func(s string) string { return strings.Replace(s, `"dct:created"`, `"DCT:created"`, 1) },
		"space":          func(s string) string { return s + "\n" },
		"two values":     func(s string) string { return s + "{}" },
		"escape":         func(s string) string { return strings.Replace(s, `Operator SAS`, `Operator\u0020SAS`, 1) },
		"null": func(s string) string {
			return strings.Replace(s, `"dct:conformsTo":[`, `"dct:replaces":null,"dct:conformsTo":[`, 1)
		},
		"another zone": func(s string) string { return strings.Replace(s, `00:59:59.123456Z`, `01:59:59.123456+01:00`, 1) },
		"no zone":      func(s string) string { return strings.Replace(s, `00:59:59.123456Z`, `00:59:59.123456`, 1) },
		"its own words": func(s string) string {
			return strings.Replace(s, "https://w3id.org/dpv#", "https://evil.example/dpv#", 1)
		},
		"another type": func(s string) string { return strings.Replace(s, consentReceipt, "dpv:Notice", 1) },
		"too big":      func(s string) string { return s + strings.Repeat(" ", MaxSize) },
		"empty":        func(string) string { return "" },
		"cut":          func(s string) string { return s[:len(s)-1] },
	} {
		changed := change(string(data))
		if changed == string(data) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := ParseReceipt([]byte(changed)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseReceipt(f *testing.F) {
	for _, d := range details {
		_, data := write(f, facts(d))
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseReceipt(data)
		if err != nil {
			return
		}
		if again, err := r.Bytes(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v: %q became %q", err, data, again)
		}
	})
}

func TestGolden(t *testing.T) {
	withdrawn := facts(details[consent.PersonalData]).then(consent.Withdrawn, "password", "no longer needed")
	account := facts(details[consent.AccountInformation])
	account.Revisions[0].Packs = []string{"gdpr@2018-05-25 00", "psd2@2023-07-25 00"}
	for name, f := range map[string]Facts{"personal_data": facts(details[consent.PersonalData]), "withdrawn": withdrawn, "account_information": account,
		"instance_move": facts(details[consent.InstanceMove])} {
		_, data := write(t, f)
		golden(t, name+".jsonld", data)
	}
	k, err := NewKantara(facts(details[consent.PersonalData]))
	if err != nil {
		t.Fatal(err)
	}
	data, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "kantara.json", data)
}

// golden compares with a file that is indented, for people to read.
func golden(t *testing.T, name string, data []byte) {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%s is not what was written; see the difference after go test -update:\n%s", path, out.Bytes())
	}
}

func TestKantara(t *testing.T) {
	f := facts(details[consent.PersonalData])
	k, err := NewKantara(f)
	if err != nil {
		t.Fatal(err)
	}
	if k.Version != "KI-CR-v1.1.0" || k.ConsentTimestamp != decided.Unix() || !k.Sensitive || k.PolicyURL != "https://invitations.example/privacy" || !k.Services[0].Purposes[0].Disclosed {
		t.Errorf("%+v", k)
	}
	if k, err = NewKantara(facts(details[consent.AccountInformation])); err != nil || k.Sensitive || k.Services[0].Purposes[0].Disclosed {
		t.Errorf("%+v, %v", k, err)
	}
	lapsed := f
	lapsed.Consent.State = consent.Expired
	for name, f := range map[string]Facts{"a move": facts(details[consent.InstanceMove]), "what time has ended": lapsed, "a withdrawal": f.then(consent.Withdrawn, "password", "")} {
		if _, err := NewKantara(f); !errors.Is(err, ErrNotConsent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.Notices = nil
	if _, err := NewKantara(f); !errors.Is(err, ErrIncomplete) {
		t.Errorf("without a notice: %v", err)
	}
}
