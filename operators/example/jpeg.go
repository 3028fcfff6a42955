package example

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"time"
)

// sight is a place where anybody may take pictures.
type sight struct {
	name     string
	lat, lon int // WGS 84, in hundred-thousandths of a degree: whole numbers are the same on every machine
}

func sights() []sight {
	return []sight{
		{"Tour Eiffel", 4885837, 229448}, {"Mont-Saint-Michel", 4863600, -151150}, {"Pont du Gard", 4394730, 453540},
		{"Dune du Pilat", 4458960, -121300}, {"Pointe du Raz", 4803970, -473920}, {"Château de Chambord", 4761610, 151700},
		{"Phare de Cordouan", 4558640, -117330}, {"Cirque de Gavarnie", 4269600, -880}, {"Statue of Liberty", 4068920, -7404450},
		{"Sydney Opera House", -3385680, 15121530},
	}
}

// picture makes a photograph: sky, sun, land and grain, with an EXIF segment that says when, where and with what.
func picture(r *rand.Rand, at time.Time, where sight) []byte {
	const width, height = 480, 320
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	horizon, sunX, sunY := 120+r.IntN(120), r.IntN(width), 20+r.IntN(60)
	sky, land := color.YCbCr{Cb: uint8(140 + r.IntN(40)), Cr: uint8(90 + r.IntN(30))}, color.YCbCr{Cb: uint8(80 + r.IntN(40)), Cr: uint8(100 + r.IntN(40))}
	for y := range height {
		for x := range width {
			light := 190 - y/3
			if y > horizon+(x*7%23) {
				light = 60 + (y-horizon)/2
			}
			if dx, dy := x-sunX, y-sunY; dx*dx+dy*dy < 400 {
				light = 235
			}
			img.Y[img.YOffset(x, y)] = uint8(light + r.IntN(20))
			c, tone := img.COffset(x, y), sky
			if y > horizon {
				tone = land
			}
			img.Cb[c], img.Cr[c] = tone.Cb, tone.Cr
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 88}); err != nil {
		return nil // a buffer takes everything
	}
	return withEXIF(out.Bytes(), exif(at, where))
}

// withEXIF puts an APP1 segment right after the start of a JPEG.
func withEXIF(picture, tiff []byte) []byte {
	segment := append([]byte("Exif\x00\x00"), tiff...)
	out := append([]byte{}, picture[:2]...)
	out = append(out, 0xff, 0xe1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(segment)+2))
	out = append(out, segment...)
	return append(out, picture[2:]...)
}

// field is an entry of a TIFF directory.
type field struct {
	tag, kind uint16
	count     uint32
	value     []byte
}

// The types of TIFF fields.
const (
	tiffASCII    = 2
	tiffShort    = 3
	tiffLong     = 4
	tiffRational = 5
)

func text(tag uint16, s string) field {
	return field{tag, tiffASCII, uint32(len(s) + 1), append([]byte(s), 0)}
}

func long(tag uint16, n int) field {
	return field{tag, tiffLong, 1, binary.LittleEndian.AppendUint32(nil, uint32(n))}
}

// exif returns the TIFF structure of an EXIF segment (CIPA DC-008).
func exif(at time.Time, where sight) []byte {
	stamp := at.Format("2006:01:02 15:04:05")
	photo := []field{text(0x9003, stamp), text(0x9004, stamp), text(0x9011, "+00:00")}
	gps := []field{
		{0x0000, 1, 4, []byte{2, 3, 0, 0}},
		text(0x0001, side(where.lat, "N", "S")), degrees(0x0002, where.lat),
		text(0x0003, side(where.lon, "E", "W")), degrees(0x0004, where.lon),
	}
	first := func(photoAt, gpsAt int) []field {
		return []field{
			text(0x010f, "Lumiere"), text(0x0110, "Camera Obscura II"), {0x0112, tiffShort, 1, []byte{1, 0, 0, 0}},
			text(0x0132, stamp), long(0x8769, photoAt), long(0x8825, gpsAt),
		}
	}
	photoAt := 8 + len(directory(8, first(0, 0)))
	gpsAt := photoAt + len(directory(photoAt, photo))
	out := append([]byte("II*\x00"), 8, 0, 0, 0)
	out = append(out, directory(8, first(photoAt, gpsAt))...)
	out = append(out, directory(photoAt, photo)...)
	return append(out, directory(gpsAt, gps)...)
}

// directory encodes an image file directory that begins at an offset, followed by the values that do not fit into it.
func directory(offset int, fields []field) []byte {
	le := binary.LittleEndian
	out := le.AppendUint16(nil, uint16(len(fields)))
	behind := offset + 2 + 12*len(fields) + 4
	var values []byte
	for _, f := range fields {
		out = le.AppendUint32(le.AppendUint16(le.AppendUint16(out, f.tag), f.kind), f.count)
		if len(f.value) <= 4 {
			out = append(append(out, f.value...), make([]byte, 4-len(f.value))...)
			continue
		}
		out = le.AppendUint32(out, uint32(behind+len(values)))
		values = append(values, f.value...)
		values = append(values, make([]byte, len(f.value)%2)...)
	}
	return append(le.AppendUint32(out, 0), values...)
}

func side(angle int, positive, negative string) string {
	if angle < 0 {
		return negative
	}
	return positive
}

// degrees encodes an angle as degrees, minutes and hundredths of seconds.
func degrees(tag uint16, angle int) field {
	hundredths := uint32(max(angle, -angle) * 36 / 10)
	var value []byte
	for _, part := range [][2]uint32{{hundredths / 360000, 1}, {hundredths / 6000 % 60, 1}, {hundredths % 6000, 100}} {
		value = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(value, part[0]), part[1])
	}
	return field{tag, tiffRational, 3, value}
}

// metadata is what a Cozy reads from such a picture.
func metadata(at time.Time, where sight) []byte {
	return fmt.Appendf(nil, `{"datetime":%q,"gps":{"lat":%s,"long":%s},"width":480,"height":320}`, at.Format(time.RFC3339), decimalDegrees(where.lat), decimalDegrees(where.lon))
}

func decimalDegrees(angle int) string {
	return fmt.Sprintf("%s%d.%05d", side(angle, "", "-"), max(angle, -angle)/100_000, max(angle, -angle)%100_000)
}
