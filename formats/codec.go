package formats

import (
	"io"
	"iter"
)

// Records is a stream of records that can be walked more than once. An error ends a walk.
type Records = iter.Seq2[Record, error]

// Codec writes the records of a dataset as a file that any program of the field opens, and reads such files back,
// also those that others wrote. Codecs are stateless values; each package below this one makes its own.
//
// Decode gives records whose Dataset, Kind and Body are set, and whose ID comes from the file (UID, entry reference,
// …) or, where the file has none, from a hash of the item, so that reading a file twice gives the same ids. A file
// that is damaged beyond reading ends the walk with an error wrapping [ErrInvalid] that names the place.
type Codec struct {
	Dataset   Dataset
	MediaType string
	// File is the name inside the dataset's folder, for example "contacts.vcf"; empty where Name is set.
	File string
	// Name, if not nil, gives each record a file of its own; it returns that file's path inside the dataset's
	// folder, or "" for a record that the codec does not write. Encode then gets that one record.
	Name func(Record) string
	// Encode writes those records that the format can hold; it skips others. It may walk records several times, and
	// must not hold them all in memory.
	Encode func(w io.Writer, records Records) error
	// Decode reads what Encode or another program wrote.
	Decode func(r io.Reader) Records
}
