package transfer

// Progress is how far a transfer has come. Totals are 0 where they are not known beforehand.
type Progress struct {
	Step         Step  `json:"step"`
	Records      int64 `json:"records"`
	Bytes        int64 `json:"bytes"`
	TotalRecords int64 `json:"total_records,omitempty"`
	TotalBytes   int64 `json:"total_bytes,omitempty"`
}

// Step is a part of a transfer.
type Step string

// The steps.
const (
	Writing   Step = "writing"   // records and blobs into an archive or a target
	Sealing   Step = "sealing"   // open formats, manifests, signatures
	Verifying Step = "verifying" // every byte of an archive, before anything is loaded
	Loading   Step = "loading"   // blobs, then records, into a target
	Checking  Step = "checking"  // what the target holds, read again
)

// Observer is told of progress, often. It may be nil.
type Observer func(Progress)

func (o Observer) tell(p Progress) {
	if o != nil {
		o(p)
	}
}
