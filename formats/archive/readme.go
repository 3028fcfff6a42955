package archive

import (
	"bytes"
	"strings"
	"text/template"
	"time"
)

// readme returns README.txt: how to open and check the bag, in the person's language first.
func readme(opts *Options, root string) ([]byte, error) {
	order := []string{readmeEnglish, readmeFrench}
	if strings.HasPrefix(strings.ToLower(opts.Locale), "fr") {
		order = []string{readmeFrench, readmeEnglish}
	}
	facts := struct {
		Owner, Source, Date, Folder string
		Delta, Lacks                bool
	}{
		foldless(opts.Owner), foldless(cmpName(opts.Claims.Source)), opts.Claims.Created.UTC().Format(time.DateOnly),
		strings.TrimSuffix(root, "/"), opts.Claims.Sequence > 0, opts.Held != nil,
	}
	var buf bytes.Buffer
	text := strings.Join(order, "\n"+strings.Repeat("-", 78)+"\n\n")
	t, err := template.New(readmeFile).Parse(text)
	if err != nil {
		return nil, err
	}
	err = t.Execute(&buf, facts)
	return buf.Bytes(), err
}

const readmeEnglish = `THE DATA OF {{.Owner}}
exported on {{.Date}} by {{.Source}}

This folder holds {{if .Delta}}what changed in an instance since the previous archive of the same series{{else}}a whole instance{{end}}. You need no special program to read it.

What is where
  data/files/tree/      files, in the folders in which you had them
  data/files/trash/     what was in the trash; data/files/versions/ earlier versions
  data/<dataset>/       contacts, calendar, bank, notes ... in formats that other programs open
                        (.vcf, .ics, .xml, .csv, .geojson, .md)
  data/<dataset>/records.ndjson
                        everything again, without any loss: one JSON record a line; schemas/ explains them
  claims.json           what the operator states: counts, what was left out and why, for whom it was made
{{- if .Lacks}}
                        left_out in it counts files whose bytes are not here, since its recipient held them already
{{- end}}
  A file whose name could harm some system is stored as ~passerelle~...; its true name is in its record.

Check that nothing was changed (in a terminal, in this folder)
  sha256sum --quiet -c tagmanifest-sha256.txt manifest-sha256.txt
  openssl pkeyutl -verify -rawin -pubin -inkey signature/operator.pem \
      -in tagmanifest-sha256.txt -sigfile signature/tagmanifest-sha256.txt.sig
  minisign -V -p signature/minisign.pub -m tagmanifest-sha256.txt -x signature/tagmanifest-sha256.txt.minisig
  The last two do the same. They prove who signed only if signature/operator.pem is the key that the operator
  publishes: compare it with what the operator says elsewhere.

Take it elsewhere
  Any Passerelle gateway loads it:   passerelle import --to home:NAME ARCHIVE
`

const readmeFrench = `LES DONNÉES DE {{.Owner}}
exportées le {{.Date}} par {{.Source}}

Ce dossier contient {{if .Delta}}ce qui a changé dans une instance depuis l'archive précédente de la même série{{else}}une instance entière{{end}}. Aucun logiciel particulier n'est nécessaire pour le lire.

Où trouver quoi
  data/files/tree/      les fichiers, dans les dossiers où vous les aviez rangés
  data/files/trash/     ce qui était à la corbeille ; data/files/versions/ les versions antérieures
  data/<dataset>/       contacts, agenda, banque, notes... dans des formats que d'autres logiciels ouvrent
                        (.vcf, .ics, .xml, .csv, .geojson, .md)
  data/<dataset>/records.ndjson
                        tout, sans aucune perte : un enregistrement JSON par ligne, expliqué dans schemas/
  claims.json           ce que l'opérateur déclare : nombres, ce qui manque et pourquoi, pour qui c'est fait
{{- if .Lacks}}
                        left_out y compte les fichiers dont le contenu n'est pas ici : le destinataire l'avait déjà
{{- end}}
  Un fichier dont le nom pourrait nuire à un système est rangé sous ~passerelle~... ; son vrai nom est dans
  son enregistrement.

Vérifier que rien n'a été modifié (dans un terminal, dans ce dossier)
  sha256sum --quiet -c tagmanifest-sha256.txt manifest-sha256.txt
  openssl pkeyutl -verify -rawin -pubin -inkey signature/operator.pem \
      -in tagmanifest-sha256.txt -sigfile signature/tagmanifest-sha256.txt.sig
  minisign -V -p signature/minisign.pub -m tagmanifest-sha256.txt -x signature/tagmanifest-sha256.txt.minisig
  Les deux dernières font la même chose. Elles ne prouvent qui a signé que si signature/operator.pem est bien la
  clé que l'opérateur publie : comparez-la à ce qu'il affiche ailleurs.

Aller ailleurs
  Toute passerelle Passerelle la charge :   passerelle import --to home:NOM ARCHIVE
`
