package archive

import (
	"bufio"
	"crypto/sha256"
	"hash"
	"iter"

	"github.com/passerelle-cloud/passerelle/formats"
)

// StateRoot hashes states that come in order, see [Claims].
func StateRoot(states iter.Seq2[formats.State, error]) (formats.Hash, error) {
	digest := sha256.New()
	w := bufio.NewWriterSize(digest, 32<<10)
	for s, err := range states {
		if err != nil {
			return formats.Hash{}, err
		}
		w.Write(s.AppendLine(w.AvailableBuffer()))
	}
	w.Flush()
	return sum(digest), nil
}

// linesRoot hashes lines that come in order.
func linesRoot(lines iter.Seq2[[]byte, error]) (formats.Hash, error) {
	digest := sha256.New()
	w := bufio.NewWriterSize(digest, 32<<10)
	for line, err := range lines {
		if err != nil {
			return formats.Hash{}, err
		}
		w.Write(line)
	}
	w.Flush()
	return sum(digest), nil
}

func sum(digest hash.Hash) formats.Hash { return formats.Hash(digest.Sum(nil)) }
