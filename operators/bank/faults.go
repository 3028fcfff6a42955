package bank

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// What can go wrong at a bank. Each [Fault] wraps one of them, and says what can be done.
var (
	ErrDown        = errors.New("the bank does not answer as it should: nothing is lost, it is tried again later")
	ErrTooOften    = errors.New("the bank was asked too often: it answers again later")
	ErrConsentGone = errors.New("the consent is not valid at the bank (any more): ask for its status, and have the person connect the bank again")
	ErrSCA         = errors.New("the bank wants the person to authenticate again")
	ErrClosed      = errors.New("the account is closed, or not to be had any more")
	ErrNotCovered  = errors.New("the consent does not cover this")
	ErrPeriod      = errors.New("the bank does not give operations of so long ago: ask for fewer days, or right after the person has authenticated")
	ErrCertificate = errors.New("the bank refuses our certificate, or there is none that it could take: the administrator has to look at it")
	ErrSignature   = errors.New("the bank does not accept our signature: the administrator has to look at the certificate for seals and at the bank's profile")
	ErrRefused     = errors.New("the bank refuses the request: its profile may lack a quirk")
	ErrFormat      = errors.New("the bank's answer cannot be read: nothing of it was taken over")
	ErrTooMuch     = errors.New("the bank's answer has no end, or is larger than it may be: nothing of it was taken over")
	ErrElsewhere   = errors.New("the bank's answer leads to a place that is not the bank's: it was not followed")
	ErrNotOffered  = errors.New("this bank offers no way that this gateway can go")
	ErrNeedsPSU    = errors.New("the bank wants the person's customer number first")
	ErrDeclined    = errors.New("the person did not agree at the bank, or could not authenticate there")
	ErrPending     = errors.New("the person has not finished at the bank yet")
)

// Fault is an error of a bank.
type Fault struct {
	Kind       error         // one of the errors above
	Bank       string        // its name
	Did        string        // what was attempted
	Status     int           // of HTTP; 0: there was no answer
	Codes      []string      // the bank's codes: CONSENT_EXPIRED, …
	Text       string        // in the bank's words, cut and on one line; it may be personal data, so Error leaves it out
	RetryAfter time.Duration // how long not to ask again; 0: it does not say
	RequestID  string        // X-Request-ID, by which the bank finds it
	Cause      error
}

// Error says what was attempted, and what helps.
func (f *Fault) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s at %s: %v", f.Did, f.Bank, f.Kind)
	if f.Status != 0 {
		fmt.Fprintf(&s, " (it answers %d", f.Status)
		if len(f.Codes) > 0 {
			s.WriteString(" " + strings.Join(f.Codes, ", "))
		}
		s.WriteString(")")
	}
	if f.Cause != nil {
		cause := strings.TrimPrefix(f.Cause.Error(), f.Kind.Error()+": ") // it has been said
		s.WriteString(": " + cause)
	}
	if f.RequestID != "" {
		s.WriteString("; X-Request-ID " + f.RequestID)
	}
	return s.String()
}

// Unwrap makes a fault the error of its kind, and that of its cause.
func (f *Fault) Unwrap() []error { return []error{f.Kind, f.Cause} }

// has reports whether the bank gave one of some codes.
func (f *Fault) has(codes ...string) bool {
	return slices.ContainsFunc(f.Codes, func(c string) bool { return slices.Contains(codes, c) })
}

// complaint is an error in both of the shapes that there are: {"tppMessages":[{category, code, path, text}]}, and {type, code,
// title, detail, additionalErrors}; and in that of RFC 6749, which authorization servers give.
type complaint struct {
	Messages []struct {
		Category string `json:"category"`
		Code     string `json:"code"`
		Text     string `json:"text"`
	} `json:"tppMessages"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	More   []struct {
		Code string `json:"code"`
	} `json:"additionalErrors"`
	OAuth            string `json:"error"`
	OAuthDescription string `json:"error_description"`
}

// read takes codes and words from an error's body; from one that it cannot read, none.
func (f *Fault) read(body []byte) {
	var c complaint
	if json.Unmarshal(body, &c) != nil {
		return
	}
	texts := []string{c.Title, c.Detail, c.OAuthDescription}
	codes := []string{c.Code, c.OAuth}
	for _, m := range c.Messages {
		if m.Category != "WARNING" {
			codes, texts = append(codes, m.Code), append(texts, m.Text)
		}
	}
	for _, m := range c.More {
		codes = append(codes, m.Code)
	}
	for _, code := range codes {
		if code = line(code, 60); code != "" && len(f.Codes) < 10 && !slices.Contains(f.Codes, code) {
			f.Codes = append(f.Codes, code)
		}
	}
	f.Text = line(strings.Join(texts, " "), 500)
}

// line makes a stranger's text fit for one line.
func line(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// kindByCode is what the codes of the standard mean here (section 14.11 of the implementation guidelines). What they leave
// open, the status says.
func kindByCode(f *Fault) error {
	switch {
	case f.has("ACCESS_EXCEEDED"):
		return ErrTooOften
	case f.has("CONSENT_EXPIRED", "TOKEN_EXPIRED"):
		return ErrSCA
	case f.has("CONSENT_INVALID", "CONSENT_UNKNOWN", "TOKEN_UNKNOWN", "TOKEN_INVALID", "invalid_grant", "invalid_token"):
		return ErrConsentGone
	case f.has("CERTIFICATE_INVALID", "CERTIFICATE_EXPIRED", "CERTIFICATE_BLOCKED", "CERTIFICATE_REVOKED", "CERTIFICATE_MISSING", "ROLE_INVALID", "invalid_client", "unauthorized_client"):
		return ErrCertificate
	case f.has("SIGNATURE_INVALID", "SIGNATURE_MISSING"):
		return ErrSignature
	case f.has("PERIOD_INVALID"):
		return ErrPeriod
	case f.has("RESOURCE_UNKNOWN", "RESOURCE_EXPIRED", "RESOURCE_BLOCKED"):
		return ErrClosed
	case f.has("PSU_CREDENTIALS_INVALID", "access_denied"):
		return ErrDeclined
	case f.has("SERVICE_INVALID", "SERVICE_BLOCKED"):
		return ErrNotCovered
	}
	return nil
}

// kindByStatus is what a status without a code that says more means.
func kindByStatus(status int) error {
	switch {
	case status == http.StatusTooManyRequests:
		return ErrTooOften
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return ErrDown
	case status >= 300 && status < 400:
		return ErrElsewhere
	case status == http.StatusUnauthorized:
		return ErrSCA
	case status == http.StatusForbidden:
		return ErrNotCovered
	case status == http.StatusNotFound, status == http.StatusGone:
		return ErrClosed
	}
	return ErrRefused
}

// longestWait is the longest time not to ask again that is believed.
const longestWait = 48 * time.Hour

// retryAfter reads the header of that name, in both of its forms (RFC 9110 section 10.2.3).
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	seconds, err := strconv.ParseUint(text, 10, 31)
	wait := time.Duration(seconds) * time.Second
	if err != nil {
		at, err := http.ParseTime(text)
		if err != nil {
			return 0
		}
		wait = time.Until(at)
	}
	return min(max(wait, 0), longestWait)
}

// WaitOf returns how long a bank wants not to be asked again; 0 if it does not say.
func WaitOf(err error) time.Duration {
	var f *Fault
	if errors.As(err, &f) {
		return f.RetryAfter
	}
	return 0
}
