package brand

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// colours are those of a brand in one scheme, each as #rrggbb. Empty ones are chosen to fit.
type colours struct {
	Accent   string `json:"accent"`    // of buttons and links
	OnAccent string `json:"on_accent"` // of what is written on a button
	Back     string `json:"back"`      // of the page
}

// Scheme is what the stylesheet of all pages uses where a brand says nothing. Texts of each of its Inks stand on Back and
// on Card.
type Scheme struct {
	Back, Card, Accent, OnAccent string
	Inks                         []string
}

// Light and Dark are the two schemes of the stylesheet (a test of it holds them equal).
func Light() Scheme {
	return Scheme{Back: "#fbfaf8", Card: "#ffffff", Accent: "#17558a", OnAccent: "#ffffff", Inks: []string{"#1c1b1a", "#595550", "#8a2b17", "#22603a"}}
}

// Dark is the scheme for whoever prefers a dark screen.
func Dark() Scheme {
	return Scheme{Back: "#17191b", Card: "#202326", Accent: "#8fc4f2", OnAccent: "#0d2133", Inks: []string{"#eceae6", "#b5b0a8", "#f2a48f", "#8fd6a8"}}
}

// enough is the least contrast of a text with what is behind it (WCAG 2.2, success criterion 1.4.3).
const enough = 4.5

// rgb is a colour in sRGB, each part from 0 to 255.
type rgb [3]float64

func parseColour(text string) (rgb, error) {
	hex, ok := strings.CutPrefix(text, "#")
	n, err := strconv.ParseUint(hex, 16, 24)
	if !ok || len(hex) != 6 || err != nil {
		return rgb{}, fmt.Errorf("%q is not a colour such as #17558a", text)
	}
	return rgb{float64(n >> 16), float64(n >> 8 & 0xff), float64(n & 0xff)}, nil
}

func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(c[0])), int(math.Round(c[1])), int(math.Round(c[2])))
}

// luminance is the relative luminance that WCAG 2.2 defines, 0 to 1.
func (c rgb) luminance() float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		part := c[i] / 255
		if part <= 0.04045 {
			part /= 12.92
		} else {
			part = math.Pow((part+0.055)/1.055, 2.4)
		}
		sum += weight * part
	}
	return sum
}

// contrast is the contrast ratio of two colours, 1 to 21 (WCAG 2.2).
func contrast(a, b rgb) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// least is the smallest contrast of a colour with those behind it.
func least(c rgb, behind []rgb) float64 {
	worst := math.Inf(1)
	for _, b := range behind {
		worst = min(worst, contrast(c, b))
	}
	return worst
}

// readable is the colour, moved towards another one no further than until it can be read before those behind it.
func readable(c, towards rgb, behind []rgb) rgb {
	for step := range 101 {
		share := float64(step) / 100
		var moved rgb
		for i := range moved {
			moved[i] = math.Round(c[i] + (towards[i]-c[i])*share)
		}
		if least(moved, behind) >= enough {
			return moved
		}
	}
	return towards
}

var (
	black = rgb{0x10, 0x10, 0x10}
	white = rgb{255, 255, 255}
)

// styles are the colours as CSS, for a light and for a dark screen. The error names every colour that somebody could not
// read, and one near it that everybody can.
func styles(light, dark colours) ([]byte, error) {
	if light == (colours{}) && dark == (colours{}) {
		return nil, nil
	}
	if dark.Accent == "" {
		dark.Accent = lighter(light.Accent)
	}
	day, lightErr := light.scheme("light", Light(), black)
	night, darkErr := dark.scheme("dark", Dark(), white)
	if err := errors.Join(lightErr, darkErr); err != nil {
		return nil, err
	}
	// A rule of the same weight as the stylesheet's, and after it.
	return []byte(day + "@media (prefers-color-scheme: dark) { " + strings.TrimSuffix(night, "\n") + " }\n"), nil
}

// lighter is the accent of a light scheme as it can be read in a dark one; "" if it is none.
func lighter(accent string) string {
	c, err := parseColour(accent)
	if err != nil {
		return ""
	}
	return readable(c, white, backs(Dark())).String()
}

func backs(s Scheme) []rgb {
	var list []rgb
	for _, text := range []string{s.Back, s.Card} {
		c, err := parseColour(text)
		if err == nil {
			list = append(list, c)
		}
	}
	return list
}

// scheme fills in what a brand leaves out, checks it, and writes it as CSS. far is where colours go to be read.
func (c colours) scheme(name string, base Scheme, far rgb) (string, error) {
	if c == (colours{}) {
		return "", nil
	}
	var faults []error
	read := func(what, text string) (parsed rgb) {
		parsed, err := parseColour(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s.%s: %w", name, what, err))
		}
		return parsed
	}
	accent, back := read("accent", or(c.Accent, base.Accent)), read("back", or(c.Back, base.Back))
	if c.OnAccent == "" {
		c.OnAccent = onto(accent).String()
	}
	on := read("on_accent", c.OnAccent)
	if len(faults) > 0 {
		return "", errors.Join(faults...)
	}
	base.Back = back.String()
	check := func(what string, colour, towards rgb, behind []rgb) {
		if got := least(colour, behind); got < enough {
			faults = append(faults, fmt.Errorf("%s.%s: %s has a contrast of %.1f, and people need %.1f to read: %s would do", name, what, colour, got, enough, readable(colour, towards, behind)))
		}
	}
	check("accent", accent, far, backs(base))
	check("on_accent", on, onto(accent), []rgb{accent})
	for _, text := range base.Inks {
		ink, err := parseColour(text)
		if err != nil {
			return "", err
		}
		if got := contrast(ink, back); got < enough {
			faults = append(faults, fmt.Errorf("%s.back: on %s our texts in %s have a contrast of %.1f, and people need %.1f to read: take a colour nearer to %s", name, back, text, got, enough, fallbackBack(name)))
		}
	}
	return fmt.Sprintf(":root { --accent: %s; --on-accent: %s; --back: %s; }\n", accent, on, back), errors.Join(faults...)
}

func fallbackBack(name string) string {
	if name == "dark" {
		return Dark().Back
	}
	return Light().Back
}

// onto is black or white, whichever is read better on a colour.
func onto(c rgb) rgb {
	if contrast(black, c) > contrast(white, c) {
		return black
	}
	return white
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
