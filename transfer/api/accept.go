package api

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/problem"
)

// The media types that every dataset can be had in.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// offers are the media types that a dataset can be had in, the one first that is given to who does not care. A codec
// that makes a file of each record serves single ones only.
func (a *API) offers(d formats.Dataset, single bool) []string {
	types := []string{typeJSON}
	if !single {
		types = append(types, typeNDJSON)
	}
	for _, c := range a.opt.Codecs {
		if c.Dataset == d && (single || c.Name == nil) && !slices.Contains(types, mediaType(c.MediaType)) {
			types = append(types, mediaType(c.MediaType))
		}
	}
	return types
}

// mediaType is the type without its parameters.
func mediaType(s string) string {
	if t, _, err := mime.ParseMediaType(s); err == nil {
		return t
	}
	return s
}

func (a *API) codec(d formats.Dataset, mediatype string) *formats.Codec {
	for i, c := range a.opt.Codecs {
		if c.Dataset == d && mediaType(c.MediaType) == mediatype {
			return &a.opt.Codecs[i]
		}
	}
	return nil
}

// negotiate returns what of the offers a request prefers (RFC 9110 section 12.5.1), or answers that there is nothing.
func (q *reading) negotiate(offers []string) (string, bool) {
	q.w.Header().Add("Vary", "Accept")
	best := preferred(q.r.Header.Values("Accept"), offers)
	if best == typeJSON || best == typeNDJSON {
		return best, true
	}
	if best != "" {
		asIs, err := q.opt.Authority.AsIs(q.r.Context(), q.consent.Person)
		if err != nil {
			q.fail(err)
			return "", false
		}
		if !asIs {
			return best, true
		}
		offers = slices.DeleteFunc(slices.Clone(offers), func(o string) bool { return o != typeJSON && o != typeNDJSON })
		if best = preferred(q.r.Header.Values("Accept"), offers); best != "" {
			return best, true
		}
	}
	problem.Problem{Type: "not-acceptable", Title: "It cannot be had like this", Status: http.StatusNotAcceptable,
		Detail: "Accept one of " + strings.Join(offers, ", ") + "."}.Write(q.w)
	return "", false
}

func preferred(accept []string, offers []string) string {
	if len(accept) == 0 {
		return offers[0]
	}
	best, bestQ := "", 0.0
	for _, offer := range offers {
		quality, exact := 0.0, -1
		for _, part := range strings.Split(strings.Join(accept, ","), ",") {
			t, params, err := mime.ParseMediaType(strings.TrimSpace(part))
			if err != nil {
				continue
			}
			how := matches(t, offer)
			if how <= exact {
				continue
			}
			exact, quality = how, 1
			if text, ok := params["q"]; ok {
				if quality, err = strconv.ParseFloat(text, 64); err != nil {
					quality = 0
				}
			}
		}
		if quality > bestQ {
			best, bestQ = offer, quality
		}
	}
	return best
}

// matches says how exactly a range names a type: 2 exactly, 1 its main type, 0 everything, -1 not.
func matches(rang, offer string) int {
	main, _, _ := strings.Cut(offer, "/")
	switch rang {
	case offer:
		return 2
	case main + "/*":
		return 1
	case "*/*":
		return 0
	}
	return -1
}
