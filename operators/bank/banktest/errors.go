package banktest

import (
	"fmt"
	"net/http"
)

// Error is what the bank answers where something is wrong: a message code of NextGenPSD2 (implementation guidelines 1.3,
// section 14.11) and its HTTP status.
type Error struct {
	Status int
	Code   string // "CONSENT_EXPIRED"
	Text   string
	Path   string // of the member that is wrong, "" if it is none
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Text) }

func fail(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Text: fmt.Sprintf(format, args...)}
}

// wrongForm is what is answered to a request that cannot be understood.
func wrongForm(path, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "FORMAT_ERROR", Path: path, Text: fmt.Sprintf(format, args...)}
}

// tppMessages is the error's own form of NextGenPSD2.
type tppMessages struct {
	Messages []tppMessage `json:"tppMessages"`
}

type tppMessage struct {
	Category string `json:"category"`
	Code     string `json:"code"`
	Path     string `json:"path,omitempty"`
	Text     string `json:"text,omitempty"`
}

// problem is the error's form of RFC 7807, as NextGenPSD2 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code"`
}

// reply is the error as an answer.
func (e *Error) reply(problems bool) *reply {
	switch {
	case e.Status >= http.StatusInternalServerError || e.Status == http.StatusRequestTimeout || e.Status == http.StatusUnsupportedMediaType:
		return &reply{status: e.Status} // the official description has no body for these
	case problems:
		detail := e.Text
		if e.Path != "" {
			detail = e.Path + ": " + detail
		}
		return &reply{status: e.Status, kind: "application/problem+json", body: problem{Type: "urn:sandbox-bank:" + e.Code, Title: http.StatusText(e.Status), Detail: detail, Code: e.Code}}
	}
	return &reply{status: e.Status, body: tppMessages{[]tppMessage{{"ERROR", e.Code, e.Path, e.Text}}}}
}
