package archive

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// crate writes data/ro-crate-metadata.json (RO-Crate 1.1): what the payload is, for programs that never heard of us.
// It describes each dataset's folder, not every file: those are in the manifest.
func (w *Writer) crate() error {
	c := &w.opts.Claims
	parts := []map[string]string{}
	var entities []map[string]any
	for _, d := range formats.Datasets() {
		claim := w.counts[d]
		if claim == nil {
			continue
		}
		folder, records := string(d)+"/", string(d)+"/"+recordsFile
		parts = append(parts, ref(folder))
		entities = append(entities, map[string]any{
			"@id": folder, "@type": "Dataset", "name": string(d), "hasPart": []map[string]string{ref(records)},
			"description": fmt.Sprintf("%d records, %d files, %d bytes", claim.Records, claim.Files, claim.Bytes),
		}, map[string]any{
			"@id": records, "@type": "File", "name": "records of " + string(d), "encodingFormat": "application/x-ndjson",
			"description": "one JSON record a line: envelope, body as described in schemas/, native document",
		})
	}
	graph := append([]map[string]any{
		{
			"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": ref("./"),
			"conformsTo": ref("https://w3id.org/ro/crate/1.1"),
		},
		{
			"@id": "./", "@type": "Dataset", "name": "Personal data of " + w.opts.Owner, "hasPart": parts,
			"description":   "Export of a personal-data instance, see README.txt beside the data folder.",
			"datePublished": c.Created.UTC().Format(time.RFC3339), "publisher": ref("#source"), "license": ref("#licence"),
			"identifier": fmt.Sprintf("%s/%d", c.ExportID, c.Sequence),
		},
		{"@id": "#source", "@type": "Organization", "name": cmpName(c.Source), "identifier": c.Source.ID},
		{"@id": "#licence", "@type": "CreativeWork", "name": "Personal data: no licence is granted"},
	}, entities...)
	text, err := json.MarshalIndent(map[string]any{"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}, "", "  ")
	if err != nil {
		return fmt.Errorf("RO-Crate metadata: %w", err)
	}
	return w.payloadText(crateFile, append(text, '\n'))
}

func ref(id string) map[string]string { return map[string]string{"@id": id} }

// schemas copies the JSON Schemas of the record bodies into the bag.
func (w *Writer) schemas() error {
	if w.opts.Schemas == nil {
		return nil
	}
	return fs.WalkDir(w.opts.Schemas, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(w.opts.Schemas, name)
		if err != nil {
			return err
		}
		return w.tag(schemasDir+name, text)
	})
}
