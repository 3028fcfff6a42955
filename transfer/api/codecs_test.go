package api_test

import (
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/icalendar"
	"github.com/passerelle-cloud/passerelle/formats/vcard"
)

func codecs() []formats.Codec { return []formats.Codec{vcard.Codec(), icalendar.Codec()} }
