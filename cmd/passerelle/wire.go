package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/bankcsv"
	"github.com/passerelle-cloud/passerelle/formats/camt"
	"github.com/passerelle-cloud/passerelle/formats/energycsv"
	"github.com/passerelle-cloud/passerelle/formats/geojson"
	"github.com/passerelle-cloud/passerelle/formats/icalendar"
	"github.com/passerelle-cloud/passerelle/formats/markdown"
	"github.com/passerelle-cloud/passerelle/formats/vcard"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/cozy"
	"github.com/passerelle-cloud/passerelle/operators/dir"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// codecs are the open formats that an archive holds beside the records.
func codecs() []formats.Codec {
	return []formats.Codec{
		markdown.Codec(), vcard.Codec(), icalendar.Codec(), camt.Codec(), bankcsv.Codec(), bankcsv.AccountsCodec(),
		energycsv.Codec(), geojson.Codec(),
	}
}

const specsHelp = "home:NAME (an instance of this gateway), cozy:FILE.zip[,FILE.zip] (a Cozy export), dir:PATH (a folder), example:NUMBER (an invented person)"

// openSource opens what a specification such as home:alice names.
func openSource(ctx context.Context, g *gateway, spec string) (operators.Source, error) {
	scheme, rest, ok := strings.Cut(spec, ":")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%w: %q does not name a source: give %s", errUsage, spec, specsHelp)
	}
	switch scheme {
	case "home":
		instance, err := openInstance(ctx, g, rest, false)
		if err != nil {
			return nil, err
		}
		return instance.Source(), nil
	case "cozy":
		return cozy.Open(strings.Split(rest, ",")...)
	case "dir":
		return dir.Open(rest)
	case "example":
		seed, err := strconv.ParseUint(rest, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: example:NUMBER takes a number, not %q", errUsage, rest)
		}
		return example.Person(seed, example.Scale{}), nil
	}
	return nil, fmt.Errorf("%w: there is no source %q: give %s", errUsage, scheme, specsHelp)
}

const targetsHelp = "home:NAME (an instance of this gateway, made if there is none), cozy:FOLDER (for a Cozy to import) or dir:PATH (a folder)"

// targets are what this program can write an instance to.
func targets() []string { return []string{"home", "cozy", "dir"} }

// checkTarget says at once what is wrong with a specification, without opening what it names.
func checkTarget(spec string) error {
	scheme, rest, _ := strings.Cut(spec, ":")
	switch {
	case rest == "":
		return fmt.Errorf("%w: %q does not name a target: give %s", errUsage, spec, targetsHelp)
	case !slices.Contains(targets(), scheme):
		return fmt.Errorf("%w: there is no target %q: give %s", errUsage, scheme, targetsHelp)
	case scheme == "home":
		return home.CheckName(rest)
	}
	return nil
}

// openTarget opens what a specification names to write to. A person who has no instance yet gets one.
func openTarget(ctx context.Context, g *gateway, spec string) (operators.Target, error) {
	if err := checkTarget(spec); err != nil {
		return nil, err
	}
	switch scheme, rest, _ := strings.Cut(spec, ":"); scheme {
	case "cozy":
		return cozy.Create(rest, cozy.Options{})
	case "dir":
		return dir.Create(rest)
	default:
		instance, err := openInstance(ctx, g, rest, true)
		if err != nil {
			return nil, err
		}
		return instance.Target(), nil
	}
}

func openInstance(ctx context.Context, g *gateway, name string, create bool) (*home.Instance, error) {
	h, err := g.openHome(ctx)
	if err != nil {
		return nil, err
	}
	instance, err := h.Instance(ctx, name)
	if errors.Is(err, operators.ErrNotFound) && create {
		return g.createInstance(ctx, name, home.Options{})
	}
	if errors.Is(err, operators.ErrNotFound) {
		return nil, fmt.Errorf("%w; passerelle person list shows who has an instance here", err)
	}
	return instance, err
}
