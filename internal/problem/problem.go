// Package problem writes errors as problem documents (RFC 9457), the form in which every interface here that speaks
// JSON tells what went wrong. It must never know what did.
package problem

import (
	"encoding/json"
	"net/http"
)

// Problem is a problem document.
type Problem struct {
	// Type names the kind of problem: a short name, which becomes "urn:passerelle:problem:NAME".
	Type   string
	Title  string // of the kind, always the same
	Status int    // of the answer
	Detail string // of this one, with what to do about it
	// More are further members, if any.
	More map[string]any
}

// Prefix of the types.
const Prefix = "urn:passerelle:problem:"

// Write answers with a problem. Nothing must have been written before.
func (p Problem) Write(w http.ResponseWriter) {
	members := map[string]any{}
	for name, value := range p.More {
		members[name] = value
	}
	members["type"], members["title"], members["status"] = Prefix+p.Type, p.Title, p.Status
	if p.Detail != "" {
		members["detail"] = p.Detail
	}
	text, err := json.Marshal(members)
	if err != nil {
		http.Error(w, p.Title, p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	w.Write(append(text, '\n')) // if the reader is gone there is nobody to tell
}
