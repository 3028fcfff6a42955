package bank

import (
	"bytes"
	"encoding/json"

	"github.com/passerelle-cloud/passerelle/formats"
)

// repeats finds what a bank gives twice in the pages of one list.
type repeats struct {
	booked, pending map[formats.Hash]bool // whole pages
	tail            []json.RawMessage     // the page before, as it came
}

// minRepeat is how many operations in a row, byte by byte the same, are taken for the same ones given twice, and not for
// others that happen to be like them.
const minRepeat = 2

// freshBooked returns what of a page was not given before: nothing of a page that was there already, and not those that
// moved onto it because others came in meanwhile, so that it begins with the end of the one before.
func (s *repeats) freshBooked(page []json.RawMessage) []json.RawMessage {
	sum := sumOf(page)
	if len(page) >= minRepeat && s.booked[sum] {
		return nil
	}
	s.booked[sum] = true
	tail := s.tail
	s.tail = page
	for n := min(len(page), len(tail)); n >= minRepeat; n-- {
		if same(page[:n], tail[len(tail)-n:]) {
			return page[n:]
		}
	}
	return page
}

// freshPending is the same for operations that are not booked, of which some banks give the whole list with each page.
func (s *repeats) freshPending(page []json.RawMessage) []json.RawMessage {
	sum := sumOf(page)
	if s.pending[sum] {
		return nil
	}
	s.pending[sum] = true
	return page
}

func sumOf(page []json.RawMessage) formats.Hash {
	var all []byte
	for _, raw := range page {
		all = append(append(all, raw...), 0)
	}
	return formats.HashOf(all)
}

func same(a, b []json.RawMessage) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
