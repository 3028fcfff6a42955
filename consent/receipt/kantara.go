package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// ErrNotConsent is returned where a Kantara receipt is asked for of what is not consent that was given: that form has
// no member to say anything else.
var ErrNotConsent = errors.New("there is no consent given that a Kantara receipt could be of")

// Kantara is a consent receipt as the Kantara Initiative specified it before ISO did: Consent Receipt Specification
// 1.1.0 (2018-02-20), section 5. It says less than a [Receipt], and is for those who read nothing else.
type Kantara struct {
	Version          string              `json:"version"`
	Jurisdiction     string              `json:"jurisdiction"`
	ConsentTimestamp int64               `json:"consentTimestamp"` // seconds since 1970
	CollectionMethod string              `json:"collectionMethod"`
	ConsentReceiptID string              `json:"consentReceiptID"`
	PublicKey        string              `json:"publicKey,omitempty"`
	Language         string              `json:"language"`
	Principal        string              `json:"piiPrincipalId"`
	Controllers      []KantaraController `json:"piiControllers"`
	PolicyURL        string              `json:"policyUrl"`
	Services         []KantaraService    `json:"services"`
	Sensitive        bool                `json:"sensitive"`
	SensitiveCat     []string            `json:"spiCat"`
}

// KantaraController is who answers for data.
type KantaraController struct {
	Name    string         `json:"piiController"`
	Contact string         `json:"contact"`
	Address KantaraAddress `json:"address"`
	Email   string         `json:"email"`
	URL     string         `json:"piiControllerUrl,omitempty"`
}

// KantaraAddress is a schema.org PostalAddress.
type KantaraAddress struct {
	Street  string `json:"streetAddress"`
	Country string `json:"addressCountry"`
}

// KantaraService is a service and what for.
type KantaraService struct {
	Service  string           `json:"service"`
	Purposes []KantaraPurpose `json:"purposes"`
}

// KantaraPurpose is one purpose. The categories are ours: the specification's list is only an example.
type KantaraPurpose struct {
	Purpose        string   `json:"purpose"`
	Category       []string `json:"purposeCategory"` // IRIs of DPV
	ConsentType    string   `json:"consentType"`
	PIICategory    []string `json:"piiCategory"` // names of datasets
	PrimaryPurpose bool     `json:"primaryPurpose"`
	Termination    string   `json:"termination"`
	Disclosed      bool     `json:"thirdPartyDisclosure"`
	ThirdParty     string   `json:"thirdPartyName,omitempty"`
}

// NewKantara makes a Kantara receipt of the last revision that there is among the facts. The error wraps
// [ErrNotConsent] if it gave no consent, and [ErrIncomplete].
func NewKantara(f Facts) (Kantara, error) {
	b, err := f.builder()
	if err != nil {
		return Kantara{}, err
	}
	rev := &f.Revisions[len(f.Revisions)-1]
	n := b.shown(rev)
	if n == nil || f.Subject.ID == "" {
		return Kantara{}, fmt.Errorf("%w: the notice, and who the person is, are mandatory", ErrIncomplete)
	}
	s := &f.Service
	k := Kantara{
		Version: "KI-CR-v1.1.0", Jurisdiction: s.Country, ConsentTimestamp: rev.At.Unix(), CollectionMethod: "web page " + n.Version,
		ConsentReceiptID: b.name("receipt", "kantara "+string(f.For), rev.Number), Language: n.Language, Principal: f.Subject.ID,
		Controllers: []KantaraController{{Name: s.LegalName, Contact: s.Contact, Address: KantaraAddress{s.Address, s.Country}, Email: s.Contact, URL: s.URL}},
		PolicyURL:   b.policy(n.Language), SensitiveCat: []string{},
	}
	var purposes []KantaraPurpose
	for i := range rev.Details {
		d := &rev.Details[i]
		if d.Type == consent.InstanceMove || !rev.State.Valid() || b.lapsed(rev) {
			continue
		}
		purposes = append(purposes, kantaraPurpose(d, n.Language, len(purposes) == 0))
		if slices.ContainsFunc(d.Datasets, special) {
			k.Sensitive, k.SensitiveCat = true, []string{string(formats.Health)}
		}
	}
	if len(purposes) == 0 {
		return Kantara{}, fmt.Errorf("%w: revision %d is %s", ErrNotConsent, rev.Number, rev.State)
	}
	k.Services = []KantaraService{{Service: s.Name, Purposes: purposes}}
	return k, nil
}

func kantaraPurpose(d *consent.Detail, language string, primary bool) KantaraPurpose {
	p := purpose(d)
	out := KantaraPurpose{Category: p.Types, ConsentType: "EXPLICIT", PIICategory: []string{}, PrimaryPurpose: primary, Termination: termination(d),
		Disclosed: len(d.Recipients) > 0}
	for _, t := range p.Text {
		if out.Purpose == "" || t.Language == language {
			out.Purpose = t.Value
		}
	}
	if d.Purpose.IRI != "" {
		out.Category = []string{d.Purpose.IRI}
	}
	for _, set := range d.Datasets {
		out.PIICategory = append(out.PIICategory, string(set))
	}
	var names []string
	for _, r := range d.Recipients {
		names = append(names, r.Name)
	}
	out.ThirdParty = strings.Join(names, ", ")
	return out
}

func termination(d *consent.Detail) string {
	text := "when it is withdrawn"
	if !d.Expires.IsZero() {
		text = stamp(d.Expires) + ", or " + text
	}
	if d.Retention != "" {
		text += "; what was read is kept for " + d.Retention
	}
	return text
}

// Bytes returns a Kantara receipt as JSON.
func (k *Kantara) Bytes() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(k)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}
