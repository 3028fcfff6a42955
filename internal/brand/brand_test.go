package brand

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// write makes a folder of brands from file names and texts.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const drawn = `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><title>A</title><style>.a{fill:url(#g)}</style>
<defs><linearGradient id="g"><stop offset="0" stop-color="#123456"/></linearGradient></defs><rect class="a" width="10" height="10"/><use href="#g"/></svg>`

func TestLoad(t *testing.T) {
	dir := write(t, map[string]string{
		"default/brand.json": `{"name": "Coffre"}`,
		"coffre.banque-exemple.fr/brand.json": `{"name": "Banque Exemple", "contact": "aide@banque-exemple.fr", "logo": "logo.svg", "logo_alt": {"fr": "Accueil"},
			"light": {"accent": "#7a1f4d"}, "legal": [
			{"slug": "privacy", "title": {"fr": "Confidentialité", "en": "Privacy"}, "text": {"fr": "vie-privee.md", "en": "privacy.md"}},
			{"title": {"fr": "Mentions"}, "url": "https://banque-exemple.fr/mentions"}]}`,
		"coffre.banque-exemple.fr/logo.svg":      drawn,
		"coffre.banque-exemple.fr/vie-privee.md": "# Vos données\n\n[Écrire](javascript:alert(1)) & lire\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
		"coffre.banque-exemple.fr/privacy.md":    "Nothing is sold.",
	})
	brands, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"coffre.banque-exemple.fr", "Coffre.Banque-Exemple.FR:8443", "coffre.banque-exemple.fr."} {
		if got := brands.For(host).Name; got != "Banque Exemple" {
			t.Errorf("the brand of %s is %q", host, got)
		}
	}
	for _, host := range []string{"", "evil.example", "x.coffre.banque-exemple.fr", "[::1]:80"} {
		if got := brands.For(host).Name; got != "Coffre" {
			t.Errorf("the brand of %q is %q", host, got)
		}
	}
	b := brands.For("coffre.banque-exemple.fr")
	if b.Logo.Type != "image/svg+xml" || b.Alt("fr") != "Accueil" || b.Alt("en") != "Banque Exemple" {
		t.Errorf("the logo is %s, %q, %q", b.Logo.Type, b.Alt("fr"), b.Alt("en"))
	}
	html := string(b.Legal[0].HTML["fr"])
	for _, want := range []string{"<h2", "<table>", "&amp; lire"} {
		if !strings.Contains(html, want) {
			t.Errorf("the legal text has no %s: %s", want, html)
		}
	}
	if strings.Contains(html, "javascript") {
		t.Errorf("the legal text runs a script: %s", html)
	}
	css := string(b.CSS())
	if !strings.Contains(css, "--accent: #7a1f4d") || !strings.Contains(css, "prefers-color-scheme: dark") {
		t.Errorf("the colours are %s", css)
	}
}

// TestHeadings: whatever levels an author wrote, a screen reader finds none missing.
func TestHeadings(t *testing.T) {
	html, err := render([]byte("# a\n\n#### b\n\n## c\n\n### d\n\n###### e\n"))
	if err != nil {
		t.Fatal(err)
	}
	var levels []string
	for _, m := range regexp.MustCompile(`<(h\d)`).FindAllStringSubmatch(string(html), -1) {
		levels = append(levels, m[1])
	}
	if got := strings.Join(levels, " "); got != "h2 h3 h2 h3 h4" {
		t.Error(got)
	}
}

// TestFaults: each fault is named, with its file, and all of them at once.
func TestFaults(t *testing.T) {
	dir := write(t, map[string]string{
		"A Bank/brand.json":         `{}`,
		"a.example/other.json":      ``,
		"b.example/brand.json":      `{"name": "B", "colour": "red"}`,
		"c.example/brand.json":      `{"name": "C", "name": "D"}`,
		"d.example/brand.json":      `{"name": "evil` + "\u202e" + `elpmaxe", "contact": "javascript:alert(1)", "logo": "logo.png", "light": {"accent": "#ffe000"}, "dark": {"accent": "blue"}, "legal": [{"title": {"en": "x"}}, {"slug": "../x", "title": {"en": "x"}, "text": {"en": "t.md"}}, {"title": {"en": "x"}, "url": "http://a.example"}, {"slug": "a", "title": {"en": "x"}, "text": {"en": "html.md"}}]}`,
		"d.example/logo.png":        "this is no image",
		"d.example/html.md":         "Hello <script>alert(1)</script>",
		"e.example/brand.json":      `{"name": "E", "logo": "../d.example/logo.png", "light": {"back": "#777777"}}`,
		"f.example/brand.json":      `{"name": "F", "logo": "../../../../etc/hostname"}`,
		"g.example/brand.json":      `{"name": "` + strings.Repeat("x", 10_000) + `"}`,
		"h.example/brand.json":      `{"name": "H", "legal": [{"slug": "a", "title": {"en": "x"}, "text": {"en": "pic.md"}}]}`,
		"h.example/pic.md":          "![a pixel](https://tracker.example/1.gif)",
		"i.example/brand.json":      `{"name": " "}`,
		"j.example/brand.json":      `{"name": "J", "logo": "big.svg"}`,
		"j.example/big.svg":         drawn + strings.Repeat(" ", maxLogo),
		"k.example/brand.json/file": ``,
	})
	_, err := Load(dir)
	if !errors.Is(err, ErrInvalid) {
		t.Fatalf("the error is %v", err)
	}
	for _, want := range []string{
		`folder "A Bank"`, "a.example/brand.json: openat", `unknown field "colour"`, `c.example/brand.json`, "d.example/brand.json: name", "d.example/brand.json: contact",
		"d.example/logo.png: this is not an image", "light.accent: #ffe000 has a contrast of", "would do", `dark.accent: "blue"`, "legal[0]: it needs either",
		`legal[1]: slug "../x"`, "legal[2]: \"http://a.example\"", "d.example/html.md: it holds HTML", "d.example/logo.png", "light.back", "escapes from parent",
		"g.example/brand.json: name: it has more than 60 characters", "h.example/pic.md: it holds an image", "i.example/brand.json: name: it is empty", "j.example/big.svg: it has more than 100 kB",
		"k.example/brand.json: this is not a file",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	if _, err := Load(t.TempDir()); !errors.Is(err, ErrInvalid) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestContrast(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{{"#000000", "#ffffff", 21}, {"#767676", "#ffffff", 4.54}, {"#ffffff", "#ffffff", 1}} {
		a, _ := parseColour(c.a)
		b, _ := parseColour(c.b)
		if got := contrast(a, b); got < c.want-0.01 || got > c.want+0.01 {
			t.Errorf("%s on %s: %.2f, not %.2f", c.a, c.b, got, c.want)
		}
	}
}

// TestProposal: the colour that is proposed instead can be used.
func TestProposal(t *testing.T) {
	for _, accent := range []string{"#ffe000", "#ff8800", "#00ff00", "#ffffff", "#88ccff"} {
		_, err := styles(colours{Accent: accent}, colours{})
		if err == nil {
			t.Errorf("%s can be read on white?", accent)
			continue
		}
		_, after, _ := strings.Cut(err.Error(), "to read: ")
		better, _, _ := strings.Cut(after, " would do")
		if css, err := styles(colours{Accent: better}, colours{}); err != nil || len(css) == 0 {
			t.Errorf("%s was proposed for %s: %v", better, accent, err)
		}
	}
}

// TestDarkFollows: whatever accent can be read by day, the one for the night follows from it.
func TestDarkFollows(t *testing.T) {
	for r := 0; r < 256; r += 51 {
		for g := 0; g < 256; g += 51 {
			for b := 0; b < 256; b += 51 {
				accent := rgb{float64(r), float64(g), float64(b)}
				if least(accent, backs(Light())) < enough {
					continue
				}
				if _, err := styles(colours{Accent: accent.String()}, colours{}); err != nil {
					t.Errorf("%s: %v", accent, err)
				}
			}
		}
	}
}

func picture(t testing.TB, side int, encode func(*bytes.Buffer, image.Image) error) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	m.Set(1, 1, color.White)
	var out bytes.Buffer
	if err := encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func asPNG(out *bytes.Buffer, m image.Image) error  { return png.Encode(out, m) }
func asJPEG(out *bytes.Buffer, m image.Image) error { return jpeg.Encode(out, m, nil) }

func TestLogo(t *testing.T) {
	good := map[string][]byte{"image/png": picture(t, 8, asPNG), "image/jpeg": picture(t, 8, asJPEG), "image/svg+xml": []byte(drawn)}
	for want, data := range good {
		logo, err := newLogo(data)
		if err != nil || logo.Type != want {
			t.Errorf("%s: %v, %v", want, logo, err)
		}
	}
	svg := func(inside string) []byte {
		return []byte(`<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">` + inside + `</svg>`)
	}
	whole := picture(t, 8, asPNG)
	bad := map[string][]byte{
		"empty":           nil,
		"text":            []byte("hello"),
		"HTML":            []byte("<html><svg></svg><script>alert(1)</script></html>"),
		"truncated":       whole[:len(whole)-20],
		"truncated SVG":   []byte(drawn[:60]),
		"huge":            picture(t, maxSide+1, asPNG),
		"GIF":             []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
		"script":          svg(`<script>alert(1)</script>`),
		"handler":         svg(`<rect ONclick="alert(1)"/>`),
		"foreign":         svg(`<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>`),
		"image":           svg(`<image href="https://tracker.example/1.png"/>`),
		"use elsewhere":   svg(`<use xlink:href="https://evil.example/a.svg#x"/>`),
		"use data":        svg(`<use href="data:image/svg+xml,x"/>`),
		"import":          svg(`<style>@import "https://evil.example/a.css";</style>`),
		"url":             svg(`<rect fill="url(https://evil.example/x)"/>`),
		"url in style":    svg(`<style>rect{background:url('//evil.example/x')}</style>`),
		"escaped":         svg(`<style>rect{background:\75rl(//evil.example/x)}</style>`),
		"animation":       svg(`<set attributeName="href" to="javascript:alert(1)"/>`),
		"link":            svg(`<a href="https://evil.example">x</a>`),
		"entity":          []byte(`<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>`),
		"stylesheet":      []byte(`<?xml-stylesheet href="https://evil.example/a.css"?>` + drawn[21:]),
		"another root":    []byte(`<svg>no namespace</svg>`),
		"deep":            svg(strings.Repeat("<g>", 70) + strings.Repeat("</g>", 70)),
		"metadata script": svg(`<metadata onload="x()"><x/></metadata>`),
	}
	for name, data := range bad {
		if logo, err := newLogo(data); err == nil {
			t.Errorf("%s: taken as %s", name, logo.Type)
		}
	}
}

// FuzzLogo: what is taken as an image can be shown, and runs nothing.
func FuzzLogo(f *testing.F) {
	f.Add([]byte(drawn))
	f.Add(picture(f, 3, asPNG))
	f.Add(picture(f, 3, asJPEG))
	f.Add([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><style>@import url(x)</style></svg>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		logo, err := newLogo(data)
		if err != nil {
			return
		}
		if logo.Type != "image/svg+xml" {
			return
		}
		for decoder := xml.NewDecoder(bytes.NewReader(data)); ; {
			token, err := decoder.Token()
			if err != nil {
				return
			}
			if start, ok := token.(xml.StartElement); ok && (start.Name.Local == "script" || start.Name.Local == "image") {
				t.Errorf("taken as a logo: %q", data)
			}
		}
	})
}
