package formats

// State identifies a record as it is at one moment.
type State struct {
	Dataset Dataset
	ID      string
	Record  Hash // of its line
	Blob    Hash // zero if it has none
}

// AppendLine appends the line that stands for s in a state root: dataset, id, record hash and blob hash, parted by
// tabs, with a line feed. Lines sort by their bytes as states sort by dataset, then id.
func (s *State) AppendLine(dst []byte) []byte {
	dst = append(dst, s.Dataset...)
	dst = append(dst, '\t')
	dst = append(dst, s.ID...)
	dst = append(dst, '\t')
	dst = s.Record.Append(dst)
	dst = append(dst, '\t')
	if !s.Blob.IsZero() {
		dst = s.Blob.Append(dst)
	}
	return append(dst, '\n')
}
