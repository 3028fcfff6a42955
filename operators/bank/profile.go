package bank

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// Profile is what is known of one bank: a file that a person writes and reads.
type Profile struct {
	ID       string `json:"id" validate:"required,bank"` // its name here; connections keep it, so it stays the same
	Name     string `json:"name" validate:"required,max=100,line"`
	BIC      string `json:"bic,omitempty" validate:"omitempty,bic"`
	Country  string `json:"country" validate:"required,iso3166_1_alpha2"`
	Zone     string `json:"zone" validate:"required,zone"`               // where its days begin and end
	Sandbox  bool   `json:"sandbox,omitempty"`                           // for trying things out: nobody's money
	Standard string `json:"standard" validate:"required,oneof=xs2a-1.3"` // what it speaks
	// API is the address below which its /v1 is.
	API string `json:"api" validate:"required,endpoint"`
	// Hosts are others than that of the API to which its links may lead: that of its authorization server or of the page on
	// which people authenticate, say.
	Hosts []string `json:"hosts,omitempty" validate:"max=10,unique,dive,required,max=253,host"`
	// Signed says that it wants signed requests (QSealC).
	Signed bool    `json:"signed,omitempty"`
	SCA    SCA     `json:"sca" validate:"required"`
	Limits Limits  `json:"limits,omitzero"`
	Quirks []Quirk `json:"quirks,omitempty" validate:"max=20,unique=Name,dive"`
}

// SCA is how people authenticate at a bank (strong customer authentication).
type SCA struct {
	// Approach is what the bank is expected to offer: "redirect" (to its page), "oauth" (to its authorization server, once the
	// consent is there), "oauth_first" (before it: the OAuth2 pre-step) or "decoupled" (in the bank's app).
	Approach Approach `json:"approach" validate:"required,oneof=redirect oauth oauth_first decoupled embedded"`
	// Metadata is where the authorization server describes itself (RFC 8414), for the pre-step: otherwise the bank's answer says it.
	Metadata string `json:"metadata,omitempty" validate:"omitempty,endpoint"`
	ClientID string `json:"client_id,omitempty" validate:"max=200,line"` // at the authorization server; empty: the organisation's identifier in the certificate
	Scope    string `json:"scope,omitempty" validate:"max=200,line"`     // "%s" stands for the consent's id; "AIS:%s" if empty, "AIS" in the pre-step
	PSU      bool   `json:"psu,omitempty"`                               // the bank wants the person's customer number (PSU-ID) beforehand
}

// Approach is one of the ways to authenticate at a bank.
type Approach string

// The approaches.
const (
	Redirect   Approach = "redirect"
	OAuth      Approach = "oauth"
	OAuthFirst Approach = "oauth_first"
	Decoupled  Approach = "decoupled"
	// Embedded would have people give us their password for the bank: it is known only to be refused with words.
	Embedded Approach = "embedded"
)

// Limits are what a bank takes. Zero values stand for usual ones.
type Limits struct {
	PerMinute  int `json:"per_minute,omitempty" validate:"min=0,max=6000"` // requests; 120
	PageSize   int `json:"page_size,omitempty" validate:"min=0,max=10000"` // operations a page, asked for where it is given
	Unattended int `json:"unattended,omitempty" validate:"min=0,max=1440"` // runs a day without the person; 4
	// SCADays is after how many days at most the person authenticates again: 180.
	SCADays int `json:"sca_days,omitempty" validate:"min=0,max=180"`
	// HistoryDays is how far back operations are given to somebody who has just authenticated; 0: as far as there are.
	HistoryDays int `json:"history_days,omitempty" validate:"min=0,max=3700"`
}

// Quirk is something that one bank does its own way.
type Quirk struct {
	Name QuirkName `json:"name" validate:"required,quirk"`
	Why  string    `json:"why" validate:"required,min=10,max=500,line"` // where it was seen, and what goes wrong without it
}

// QuirkName names what the client does otherwise.
type QuirkName string

// The quirks that there are.
const (
	NoBoth        QuirkName = "no_both"        // bookingStatus "both" is refused: booked and pending are asked for in turn
	NoPending     QuirkName = "no_pending"     // only booked operations can be asked for
	XML           QuirkName = "xml"            // operations come as camt.053 only
	IDsChange     QuirkName = "ids_change"     // transactionId is another one each time, and identifies nothing
	Unsigned      QuirkName = "unsigned"       // amounts lack their sign: it follows from which side the account is on
	DecimalSerial QuirkName = "decimal_serial" // the certificate's serial number in keyId is decimal, not hexadecimal
	NoDeletion    QuirkName = "no_deletion"    // consents cannot be deleted: they end by themselves
	NoDateTo      QuirkName = "no_date_to"     // dateTo is refused
	NothingIs404  QuirkName = "nothing_is_404" // an account without operations in the period answers 404
)

var (
	quirks   = []QuirkName{NoBoth, NoPending, XML, IDsChange, Unsigned, DecimalSerial, NoDeletion, NoDateTo, NothingIs404}
	bankForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	bicForm  = regexp.MustCompile(`^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$`) // ISO 9362
	hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)
)

// has reports whether the bank has a quirk.
func (p *Profile) has(name QuirkName) bool {
	return slices.ContainsFunc(p.Quirks, func(q Quirk) bool { return q.Name == name })
}

func (p Profile) withDefaults() Profile {
	for _, d := range []struct {
		value *int
		usual int
	}{{&p.Limits.PerMinute, 120}, {&p.Limits.Unattended, 4}, {&p.Limits.SCADays, 180}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if p.SCA.Scope == "" {
		p.SCA.Scope = "AIS:%s"
		if p.SCA.Approach == OAuthFirst {
			p.SCA.Scope = "AIS"
		}
	}
	return p
}

// Validate names everything that is wrong with a profile. The error wraps [formats.ErrInvalid].
func (p *Profile) Validate() error {
	v, err := strict.NewValidator(
		strict.Tag{Name: "bank", Is: func(s string) bool { return len(s) <= 60 && bankForm.MatchString(s) }, Not: "a name of at most 60 lower-case letters and digits, with single hyphens between"},
		strict.Tag{Name: "bic", Is: bicForm.MatchString, Not: "a BIC of 8 or 11 characters (ISO 9362)"},
		strict.Tag{Name: "zone", Is: isZone, Not: "a time zone such as Europe/Paris"},
		strict.Tag{Name: "host", Is: hostForm.MatchString, Not: "a host such as login.bank.example, without https:// and path"},
		strict.Tag{Name: "quirk", Is: func(s string) bool { return slices.Contains(quirks, QuirkName(s)) }, Not: fmt.Sprintf("one of the quirks that there are: %v", quirks)},
	)
	if err != nil {
		return err
	}
	faults := append(v.Faults(p), p.contradictions()...)
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the profile of the bank %.60q: %s", formats.ErrInvalid, p.ID, strings.Join(faults, "; "))
}

func isZone(s string) bool {
	_, err := time.LoadLocation(s)
	return err == nil && s != "" && s != "Local"
}

// contradictions are what no single member shows.
func (p *Profile) contradictions() []string {
	var faults []string
	refuse := func(bad bool, what string) {
		if bad {
			faults = append(faults, what)
		}
	}
	refuse(p.SCA.Approach == Embedded, "sca.approach is embedded: people would give this gateway their password for the bank; it never asks for that, so use another approach of this bank")
	refuse(p.SCA.Approach == OAuthFirst && p.SCA.Metadata == "", "sca.metadata is missing: with oauth_first nobody else says where the authorization server is")
	refuse(p.SCA.Approach != OAuthFirst && strings.Count(p.SCA.Scope, "%") != strings.Count(p.SCA.Scope, "%s"), "sca.scope holds a % that is not %s")
	refuse(p.has(NoBoth) && p.has(NoPending), "the quirks no_both and no_pending exclude each other")
	for _, address := range []string{p.API, p.SCA.Metadata} {
		u, err := url.Parse(address)
		refuse(err == nil && address != "" && u.RawQuery != "", fmt.Sprintf("%s has a query", address))
		refuse(err == nil && u.Scheme == "http" && !p.Sandbox, fmt.Sprintf("%s is not encrypted: only a sandbox may be reached like that", address))
	}
	return faults
}

// leadsTo reports whether links of the bank may lead to a URL.
func (p *Profile) leadsTo(api *url.URL, u *url.URL) bool {
	if u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !p.Sandbox || !isLocal(u.Hostname())) {
		return false
	}
	return sameHost(u, api.Host) || slices.ContainsFunc(p.Hosts, func(host string) bool { return sameHost(u, host) })
}

func sameHost(u *url.URL, host string) bool {
	usual := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return strings.TrimSuffix(strings.ToLower(u.Host), usual) == strings.TrimSuffix(strings.ToLower(host), usual)
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
