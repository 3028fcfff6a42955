package api_test

import (
	"io"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/icalendar"
	"github.com/passerelle-cloud/passerelle/formats/vcard"
)

// codecs are two real ones, and one that fails.
func codecs() []formats.Codec {
	return []formats.Codec{vcard.Codec(), icalendar.Codec(), {Dataset: formats.Contacts, MediaType: "text/x-fault",
		Encode: func(io.Writer, formats.Records) error { panic("a fault in a codec") }}}
}
