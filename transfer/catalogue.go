package transfer

import (
	"io/fs"
	"path"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
)

// CatalogueFormat is the version of a [Catalogue].
const CatalogueFormat = "passerelle-formats/1"

// Catalogue says what a person can take out of an instance, in which structures and formats, over which interfaces and with
// which limits: the register of Regulation (EU) 2023/2854, article 26(b), and the information of 26(a). It is made of what
// the program itself works with.
type Catalogue struct {
	Format     string       `json:"format"`
	Operator   string       `json:"operator"` // legal name
	Archive    ArchiveForm  `json:"archive"`
	Datasets   []Exportable `json:"datasets"`   // all that there are
	Structures []Structure  `json:"structures"` // of the records
	Interfaces []Interface  `json:"interfaces"`
	Targets    []string     `json:"targets"` // where an archive can be put back by this program: "home", "cozy", "dir"
	// Limits are what does not come along, or not everywhere, by the key of the text that says so ("account", "codec", …).
	Limits []Limit `json:"limits"`
	Terms  Terms   `json:"terms"`
}

// ArchiveForm is what everything comes in.
type ArchiveForm struct {
	Format    string   `json:"format"` // "passerelle-archive/1.0"
	Standards []string `json:"standards"`
	Records   string   `json:"records"` // the file of each dataset in which all of it is, without loss
}

// Exportable is a kind of data.
type Exportable struct {
	Dataset formats.Dataset `json:"dataset"`
	// Formats are the open formats in which other programs read it, beside the records; none: the records are all.
	Formats []OpenFormat `json:"formats"`
}

// OpenFormat is one that programs of the field open.
type OpenFormat struct {
	MediaType string `json:"media_type"`
	File      string `json:"file,omitempty"` // in the dataset's folder of an archive; "": a file for each record
}

// Structure is how a kind of record is made.
type Structure struct {
	Kind   formats.Kind `json:"kind"`
	Schema string       `json:"schema"` // path of its JSON Schema at the gateway
}

// Interface is a way by which data leave.
type Interface struct {
	Name      string   `json:"name"` // "download", "data", "changes", "moves", …
	Path      string   `json:"path"`
	Standards []string `json:"standards"`
	// Says is what it is for, by language.
	Says map[string]string `json:"says"`
}

// Limit is something that does not come along, or not everywhere.
type Limit struct {
	What string            `json:"what"`
	Says map[string]string `json:"says"` // by language
}

// Terms are what the operator promises to who moves.
type Terms struct {
	Notice     int `json:"notice_days"`
	Transition int `json:"transition_days"`
	Retained   int `json:"retrieval_days"`
	Charge     int `json:"charge_eur"`
}

// SchemaPath is where the JSON Schemas of a catalogue are.
const SchemaPath = "/formats/schemas/"

// NewCatalogue lists every dataset with those codecs that write it, and every schema.
func NewCatalogue(codecs []formats.Codec, schemas fs.FS) (*Catalogue, error) {
	c := &Catalogue{Format: CatalogueFormat, Archive: ArchiveForm{archive.Format, archive.Standards(), archive.RecordsFile}}
	for _, set := range formats.Datasets() {
		e := Exportable{Dataset: set, Formats: []OpenFormat{}}
		for _, codec := range codecs {
			if codec.Dataset == set {
				e.Formats = append(e.Formats, OpenFormat{codec.MediaType, codec.File})
			}
		}
		c.Datasets = append(c.Datasets, e)
	}
	files, err := fs.Glob(schemas, "*.json")
	for _, file := range files {
		c.Structures = append(c.Structures, Structure{formats.Kind(file[:len(file)-len(path.Ext(file))]), SchemaPath + file})
	}
	return c, err
}
