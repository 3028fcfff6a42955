package formats

// Omission says what could not be carried, why, and what the person can do about it.
type Omission struct {
	Dataset Dataset `json:"dataset,omitempty"`
	ID      string  `json:"id,omitempty"`
	Path    string  `json:"path,omitempty"`
	// Code is for machines: "content-missing", "checksum-differs", "trash", "secret", "name", "quota", …
	Code   string `json:"code"`
	Reason string `json:"reason"`           // one sentence, in English
	Advice string `json:"advice,omitempty"` // one sentence
	// Lost is false where the record itself was carried and only differs, as with a checksum that does not match.
	Lost bool `json:"lost"`
}

// Count counts what a dataset holds.
type Count struct {
	Records int64 `json:"records"` // tombstones not counted
	Files   int64 `json:"files"`   // records with a blob
	Bytes   int64 `json:"bytes"`   // of those blobs, each counted as often as it is used
}
