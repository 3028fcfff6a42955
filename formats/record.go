// Package formats defines what an instance is made of: records and blobs, the datasets they belong to, and the
// bodies in which open standards describe them. Codecs below it turn bodies into open files and back.
//
// It knows no operator, no storage and no network, and it never converts a number to a float: what a person's data
// says in digits, it keeps in digits.
package formats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrInvalid is the parent of every error about data that does not have the form it should have.
var ErrInvalid = errors.New("invalid")

// Record is one item of a dataset. Its encoded form (one JSON line, see [Record.AppendLine]) is canonical: the same
// record gives the same bytes everywhere, so the SHA-256 of the line identifies its state.
type Record struct {
	ID       string    // unique in its dataset within an instance; 1 to 512 bytes of UTF-8 without control characters
	Dataset  Dataset   //
	Kind     Kind      // what the body describes
	Path     string    // only where the record has a place in the person's tree, see [Area]
	Created  time.Time // zero if unknown; kept to the nanosecond, in UTC
	Modified time.Time // zero if unknown
	Deleted  time.Time // not zero: a tombstone, with neither blob nor body
	Blob     *Blob     // the bytes this record is about, if any
	Links    []Link    // to other records of the same instance
	Body     json.RawMessage
	Native   *Native // the document as its origin kept it, untouched
}

// Kind says which schema the body of a record follows.
type Kind string

// The kinds. One JSON Schema each, in schemas/<kind>.json.
const (
	KindFile      Kind = "file"       // [File]
	KindFolder    Kind = "folder"     // [Folder]
	KindVersion   Kind = "version"    // [Version] of a file
	KindNote      Kind = "note"       // [Note]
	KindAlbum     Kind = "album"      // [Album]
	KindCard      Kind = "card"       // [Card], RFC 9553; a group is a card with kind "group"
	KindEvent     Kind = "event"      // JSCalendar Event, RFC 8984 section 1.4.2
	KindTask      Kind = "task"       // JSCalendar Task, RFC 8984 section 1.4.3
	KindAccount   Kind = "account"    // [BankAccount]
	KindOperation Kind = "operation"  // [BankOperation]
	KindBill      Kind = "bill"       // [Bill], in bills and in health
	KindMatch     Kind = "match"      // [Match], in the dataset of its bill
	KindAlert     Kind = "alert"      // [Alert], in health
	KindReading   Kind = "reading"    // [EnergyReading]
	KindFeature   Kind = "feature"    // GeoJSON Feature or FeatureCollection, RFC 7946
	KindVaultItem Kind = "vault-item" // [VaultItem]
	KindShare     Kind = "share"      // [Share]
	KindSetting   Kind = "setting"    // any JSON object
	KindDocument  Kind = "document"   // any JSON object
)

// Blob identifies bytes by their SHA-256.
type Blob struct {
	SHA256 Hash   `json:"sha256"`
	Size   int64  `json:"size"`           // bytes
	Type   string `json:"type,omitempty"` // media type, if known
}

// Link points to another record of the same instance.
type Link struct {
	Rel     string  `json:"rel"` // "album", "group", "account", "document", "file", "reimburses", …
	Dataset Dataset `json:"dataset"`
	ID      string  `json:"id"`
}

// Native is a document as its origin kept it: its digits, escapes, order of members and unknown members are as they
// were; only white space between tokens goes.
type Native struct {
	Type     string          `json:"type"` // the origin's name for it, for example "io.cozy.contacts"
	Document json.RawMessage `json:"document"`
}

// Area is the first component of a path: which of the person's trees it is in. It is followed by "/" and the path as
// the person sees it, without a leading slash.
type Area string

// The areas.
const (
	Tree     Area = "tree"     // where the person had it
	Trash    Area = "trash"    // thrown away, not yet gone
	Versions Area = "versions" // <file id>/<version>
)

// Place returns the path of p in an area.
func (a Area) Place(p string) string { return string(a) + "/" + strings.TrimPrefix(p, "/") }

// SplitPath returns the area of a record's path and the path in it.
func SplitPath(path string) (Area, string) {
	area, rest, _ := strings.Cut(path, "/")
	return Area(area), rest
}

// Validate reports the first thing that is wrong with the envelope and the form of its parts. It does not hold the
// body against its schema: see [CheckBody].
func (r *Record) Validate() error {
	if err := validID(r.ID); err != nil {
		return err
	}
	if _, err := ParseDataset(string(r.Dataset)); err != nil {
		return err
	}
	if r.Kind == "" {
		return r.fault("it has no kind")
	}
	if err := r.validPath(); err != nil {
		return err
	}
	for _, l := range r.Links {
		if l.Rel == "" || l.ID == "" || l.Dataset == "" || !utf8.ValidString(l.Rel+l.ID) {
			return r.fault("a link lacks its relation, dataset or id")
		}
	}
	if r.Blob != nil && r.Blob.Size < 0 {
		return r.fault("its blob has a negative size")
	}
	if !r.Deleted.IsZero() && (r.Blob != nil || len(r.Body) > 0 || r.Native != nil) {
		return r.fault("it is a tombstone, yet it has contents")
	}
	return nil
}

func validID(id string) error {
	if id == "" || len(id) > 512 {
		return fmt.Errorf("%w: a record id has 1 to 512 bytes, this one has %d", ErrInvalid, len(id))
	}
	if !utf8.ValidString(id) || strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return fmt.Errorf("%w: record id %q holds control characters or bad UTF-8", ErrInvalid, id)
	}
	return nil
}

func (r *Record) validPath() error {
	if r.Path == "" {
		return nil
	}
	area, rest := SplitPath(r.Path)
	if area != Tree && area != Trash && area != Versions || rest == "" || !utf8.ValidString(r.Path) {
		return r.fault(fmt.Sprintf("its path %q is not in tree/, trash/ or versions/", r.Path))
	}
	return nil
}

func (r *Record) fault(what string) error {
	return fmt.Errorf("%w: record %s/%s: %s", ErrInvalid, r.Dataset, r.ID, what)
}

// Tombstone returns the record that says that the record was deleted.
func Tombstone(d Dataset, id string, kind Kind, at time.Time) Record {
	return Record{ID: id, Dataset: d, Kind: kind, Deleted: at}
}

// AppendLine appends the canonical encoding of r, without a newline, to dst. Members come in a fixed order, absent
// ones are left out, no character is escaped that JSON does not oblige to, and body and native document keep every
// byte but the white space between their tokens.
func (r *Record) AppendLine(dst []byte) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return dst, err
	}
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, r.ID)
	dst = append(dst, `,"dataset":"`...)
	dst = append(dst, r.Dataset...)
	dst = append(dst, `","kind":`...)
	dst = AppendString(dst, string(r.Kind))
	if r.Path != "" {
		dst = append(dst, `,"path":`...)
		dst = AppendString(dst, r.Path)
	}
	dst = appendTime(dst, "created", r.Created)
	dst = appendTime(dst, "modified", r.Modified)
	dst = appendTime(dst, "deleted", r.Deleted)
	if r.Blob != nil {
		dst = append(dst, `,"blob":`...)
		dst = r.Blob.append(dst)
	}
	for i, l := range r.Links {
		if i == 0 {
			dst = append(dst, `,"links":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = l.append(dst)
	}
	if len(r.Links) > 0 {
		dst = append(dst, ']')
	}
	var err error
	if len(r.Body) > 0 {
		if dst, err = appendCompact(append(dst, `,"body":`...), r.Body); err != nil {
			return dst, r.fault("its body is not JSON: " + err.Error())
		}
	}
	if r.Native != nil {
		dst = append(dst, `,"native":{"type":`...)
		dst = AppendString(dst, r.Native.Type)
		if dst, err = appendCompact(append(dst, `,"document":`...), r.Native.Document); err != nil {
			return dst, r.fault("its native document is not JSON: " + err.Error())
		}
		dst = append(dst, '}')
	}
	return append(dst, '}'), nil
}

func (b *Blob) append(dst []byte) []byte {
	dst = append(dst, `{"sha256":"`...)
	dst = b.SHA256.Append(dst)
	dst = fmt.Appendf(dst, `","size":%d`, b.Size)
	if b.Type != "" {
		dst = append(dst, `,"type":`...)
		dst = AppendString(dst, b.Type)
	}
	return append(dst, '}')
}

func (l *Link) append(dst []byte) []byte {
	dst = append(dst, `{"rel":`...)
	dst = AppendString(dst, l.Rel)
	dst = append(dst, `,"dataset":`...)
	dst = AppendString(dst, string(l.Dataset))
	dst = append(dst, `,"id":`...)
	dst = AppendString(dst, l.ID)
	return append(dst, '}')
}

func appendTime(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":"`...)
	dst = t.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

func appendCompact(dst []byte, raw json.RawMessage) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	err := json.Compact(buf, raw)
	return buf.Bytes(), err
}

// AppendString appends s as a JSON string. Only what JSON must escape is escaped (RFC 8259 section 7); bytes that
// are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
