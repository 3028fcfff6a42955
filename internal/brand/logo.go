package brand

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // decoders register themselves
	_ "image/png"
	"io"
	"slices"
	"strings"
)

// Logo is an image that a brand is known by: PNG, JPEG, or an SVG that draws and does nothing else.
type Logo struct {
	Type string // media type
	Data []byte
	Hash string // of Data, with the ending of a file name
}

func (l *loader) logo(name string) *Logo {
	data, err := l.read(name, maxLogo)
	if err == nil {
		var logo *Logo
		if logo, err = newLogo(data); err == nil {
			return logo
		}
	}
	l.fault(name, err)
	return nil
}

// maxSide is how wide and how high a logo may be, in pixels.
const maxSide = 4096

// newLogo checks an image by reading all of it, whatever its name says.
func newLogo(data []byte) (*Logo, error) {
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:6])
	if config, format, err := image.DecodeConfig(bytes.NewReader(data)); err == nil {
		if config.Width > maxSide || config.Height > maxSide {
			return nil, fmt.Errorf("a logo of %d × %d pixels is too large: at most %d each way", config.Width, config.Height, maxSide)
		}
		if _, _, err := image.Decode(bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("the image is broken: %w", err)
		}
		return &Logo{"image/" + format, data, hash + "." + format}, nil
	}
	if !bytes.Contains(data, []byte("<svg")) {
		return nil, errors.New("this is not an image: a logo is a PNG, a JPEG or an SVG")
	}
	if err := checkSVG(data); err != nil {
		return nil, err
	}
	return &Logo{"image/svg+xml", data, hash + ".svg"}, nil
}

const svgSpace = "http://www.w3.org/2000/svg"

// drawing is what an SVG may be made of: what draws.
func drawing() []string {
	return []string{"svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "defs", "linearGradient", "radialGradient", "stop",
		"clipPath", "mask", "pattern", "title", "desc", "use", "symbol", "style"}
}

// checkSVG refuses an SVG that could run a script, load something, or grow when it is read (SVG 2, chapters 2 and 15).
func checkSVG(data []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	known, depth := drawing(), 0
	for first := true; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			if first {
				return errors.New("the SVG is empty")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("the SVG is broken: %w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			if !bytes.HasPrefix(t, []byte("DOCTYPE svg PUBLIC ")) || bytes.ContainsAny(t, "[]") {
				return errors.New("the SVG declares entities or another document type: remove the <!DOCTYPE>")
			}
		case xml.ProcInst:
			if t.Target != "xml" {
				return fmt.Errorf("the SVG has an instruction <?%s …?>: remove it", t.Target)
			}
		case xml.CharData:
			if err := checkStyle(string(t)); err != nil {
				return err
			}
		case xml.StartElement:
			if depth++; depth > 64 {
				return errors.New("the SVG is nested more than 64 deep")
			}
			if first && (t.Name.Local != "svg" || t.Name.Space != svgSpace) {
				return errors.New("the SVG does not begin with <svg xmlns=\"" + svgSpace + "\">")
			}
			first = false
			if t.Name.Space != svgSpace || !slices.Contains(known, t.Name.Local) {
				return fmt.Errorf("the SVG holds <%s>, and a logo only draws: remove it (\"plain SVG\" when exporting)", t.Name.Local)
			}
			if err := checkAttributes(t); err != nil {
				return err
			}
		case xml.EndElement:
			depth--
		}
	}
}

func checkAttributes(t xml.StartElement) error {
	for _, a := range t.Attr {
		name := strings.ToLower(a.Name.Local)
		if strings.HasPrefix(name, "on") {
			return fmt.Errorf("the SVG runs a script (%s of <%s>): remove it", a.Name.Local, t.Name.Local)
		}
		if name == "href" && !strings.HasPrefix(a.Value, "#") {
			return fmt.Errorf("the SVG leads elsewhere (%s of <%s>): remove it", a.Name.Local, t.Name.Local)
		}
		if a.Name.Space == "xmlns" || name == "xmlns" {
			continue
		}
		if err := checkStyle(a.Value); err != nil {
			return err
		}
	}
	return nil
}

// checkStyle refuses CSS that loads something.
func checkStyle(text string) error {
	lower := strings.ToLower(text)
	if strings.Contains(lower, "@import") || strings.Contains(lower, "image-set") || strings.Contains(lower, "javascript:") || strings.Contains(text, "\\") {
		return errors.New("a style in the SVG loads something, or hides what it does: remove it")
	}
	for rest := lower; ; {
		_, after, found := strings.Cut(rest, "url(")
		if !found {
			return nil
		}
		if !strings.HasPrefix(strings.TrimLeft(after, " '\"\t\n"), "#") {
			return errors.New("a style in the SVG loads something (url(…)): remove it")
		}
		rest = after
	}
}
