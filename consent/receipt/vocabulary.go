package receipt

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// inlineContext says what the prefixes stand for, and which members hold an IRI or a time where others hold text. It is in
// every receipt, so that one can be read in thirty years with no network. The IRIs of DPV are those without a version,
// which stay the same from 2.0 on.
var inlineContext = json.RawMessage(`{` +
	`"dct":"http://purl.org/dc/terms/",` +
	`"dpv":"https://w3id.org/dpv#",` +
	`"eu-dga":"https://w3id.org/dpv/legal/eu/dga#",` +
	`"eu-gdpr":"https://w3id.org/dpv/legal/eu/gdpr#",` +
	`"eu-psd2":"` + psd2Namespace + `",` +
	`"foaf":"http://xmlns.com/foaf/0.1/",` +
	`"legal-eu":"https://w3id.org/dpv/legal/eu#",` +
	`"loc":"https://w3id.org/dpv/loc#",` +
	`"pd":"https://w3id.org/dpv/pd#",` +
	`"rdf":"http://www.w3.org/1999/02/22-rdf-syntax-ns#",` +
	`"schema":"https://schema.org/",` +
	`"xsd":"http://www.w3.org/2001/XMLSchema#",` +
	`"dct:conformsTo":{"@type":"@id"},` +
	`"dct:isVersionOf":{"@type":"@id"},` +
	`"dct:replaces":{"@type":"@id"},` +
	`"dct:created":{"@type":"xsd:dateTime"},` +
	`"dct:date":{"@type":"xsd:dateTime"},` +
	`"dpv:hasApplicableLaw":{"@type":"@id"},` +
	`"dpv:hasContact":{"@type":"@id"},` +
	`"dpv:hasCountry":{"@type":"@id"},` +
	`"dpv:hasDataSource":{"@type":"@id"},` +
	`"dpv:hasJurisdiction":{"@type":"@id"},` +
	`"dpv:hasLegalBasis":{"@type":"@id"},` +
	`"dpv:hasNecessity":{"@type":"@id"},` +
	`"dpv:hasProcessing":{"@type":"@id"},` +
	`"dpv:hasStatus":{"@type":"@id"},` +
	`"dpv:isExercisedAt":{"@type":"@id"},` +
	`"dpv:isIndicatedAtTime":{"@type":"xsd:dateTime"},` +
	`"dpv:isIndicatedBy":{"@type":"@id"},` +
	`"foaf:page":{"@type":"@id"},` +
	`"schema:recipient":{"@type":"@id"}}`)

// contexts are all that receipts were ever written with.
var contexts = []json.RawMessage{inlineContext}

// The profiles of https://w3id.org/dpv/schema/dpv-27560 that are kept to.
const profiles = "https://w3id.org/dpv/schema/dpv-27560"

var (
	recordProfiles  = []string{profiles + "#record", profiles + "#record-eu-gdpr"}
	receiptProfiles = []string{profiles + "#receipt-record", profiles + "#receipt-eu-gdpr"}
)

// psd2Namespace is of our own: DPV has no extension for payment services. PSD2 defines its terms.
const psd2Namespace = "https://passerelle.cloud/psd2#"

// PSD2 is the vocabulary of what receipts say about payment services (Directive (EU) 2015/2366), in Turtle. It extends
// DPV, is to be published at the namespace it names, and may be used by anybody.
//
//go:embed psd2.ttl
var PSD2 []byte

// Classes of DPV.
const (
	consentRecord  = "dpv:ConsentRecord"
	consentReceipt = "dpv:ConsentReceipt"
	rightRecord    = "dpv:RightExerciseRecord"
	rightNotice    = "dpv:RightExerciseNotice"
	rightActivity  = "dpv:RightExerciseActivity"
	process        = "dpv:Process"
	untilTime      = "dpv:UntilTimeDuration"
	temporal       = "dpv:TemporalDuration"
	indeterminate  = "dpv:IndeterminateDuration"
	endless        = "dpv:EndlessDuration"
)

// categories are the concepts of DPV's extension for personal data (https://w3id.org/dpv/pd) that a dataset may hold.
// Where none fits, the nearest that says no less is taken.
var categories = map[formats.Dataset][]string{
	formats.Files:     {"pd:PersonalDocuments"},
	formats.Notes:     {"pd:PersonalDocuments"},
	formats.Photos:    {"pd:Picture"},
	formats.Contacts:  {"pd:Contact", "pd:SocialNetwork"},
	formats.Calendar:  {"pd:Behavioral", "pd:Social"},
	formats.Bank:      {"pd:BankAccount", "pd:Transaction"},
	formats.Bills:     {"pd:Purchase", "pd:ServiceConsumptionBehavior"},
	formats.Health:    {"pd:MedicalHealth", "pd:Insurance", "dpv:SpecialCategoryPersonalData"},
	formats.Energy:    {"pd:Household", "pd:ServiceConsumptionBehavior"},
	formats.Places:    {"pd:Location", "pd:TravelHistory"},
	formats.Passwords: {"pd:Password", "pd:Username"},
	formats.Consents:  {"pd:PrivacyPreference"},
	formats.Shares:    {"pd:Connection", "pd:PrivacyPreference"},
	formats.Settings:  {"pd:Preference"},
	formats.Other:     {"dpv:PersonalData"},
}

// special reports whether a dataset is by its nature of a special category (GDPR article 9(1)).
func special(set formats.Dataset) bool { return set == formats.Health }

// processing says what a service does with what it may do.
var processing = map[consent.Action]string{consent.Read: "dpv:Retrieve", consent.Subscribe: "dpv:Monitor", consent.Compute: "dpv:Query"}

// laws are the acts whose rule packs governed a decision. PSD2 is not among the laws that DPV names.
var laws = map[string]string{"dga": "legal-eu:law-DGA", "dataact": "legal-eu:law-DataAct", "psd2": "http://data.europa.eu/eli/dir/2015/2366/oj"}

const (
	gdpr = "legal-eu:law-GDPR"
	dga  = "dga" // the name of the pack
)

// lawsOf returns the laws under which a revision was decided: the GDPR always.
func lawsOf(packs []string) []string {
	out := []string{gdpr}
	for _, name := range []string{dga, "psd2", "dataact"} {
		if governed(packs, name) {
			out = append(out, laws[name])
		}
	}
	return out
}

// governed reports whether a pack of that name, in any version, governed a decision.
func governed(packs []string, name string) bool {
	return slices.ContainsFunc(packs, func(p string) bool { return strings.HasPrefix(p, name+"@") })
}

// activityStatus says in DPV's words how an authorisation to move stands: whether it was accepted, and whether it can
// still be acted on. What became of the move is not known here.
func activityStatus(s consent.State) []string {
	switch s {
	case consent.Given, consent.Renewed:
		return []string{"dpv:RequestAccepted", "dpv:ActivityOngoing"}
	case consent.Requested:
		return []string{"dpv:RequestInitiated", "dpv:ActivityProposed"}
	case consent.Refused:
		return []string{"dpv:ActivityNotCompleted"}
	default:
		return []string{"dpv:ActivityHalted"}
	}
}

// compact writes the IRI of a term of DPV with its prefix.
func compact(iri string) string {
	if term, ok := strings.CutPrefix(iri, "https://w3id.org/dpv#"); ok && term != "" {
		return "dpv:" + term
	}
	return iri
}

// at returns the concept for a country (ISO 3166-1 alpha-2); "" for none.
func at(country string) string {
	if country == "" {
		return ""
	}
	return "loc:" + country
}
