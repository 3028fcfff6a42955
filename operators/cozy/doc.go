// Package cozy reads the export of a Cozy (a personal cloud by Cozy Cloud, now Twake Workplace) and writes archives
// that a Cozy imports. [Open] gives a source over the zip parts of an export, [Create] a target that writes such
// parts and their manifest.
//
// Each document of a Cozy becomes one record. The record's native document is the document untouched, its body says
// the same in an open standard, and its id follows one rule:
//
//   - a document of the main doctype of its dataset (see doctypes.go) has the id that it has in the Cozy;
//   - any other document, and one whose id holds a slash, has "<doctype>/<id>".
//
// Folders and files have paths built from the documents of the folders, never from the names of zip entries. The
// root folder and the trash folder are structure that every Cozy has: their documents are kept in the dataset "other".
//
// The package knows zip entries, documents and nothing of consents, archives of ours or the network. It never holds
// more than one document and a few bytes for each record in memory.
package cozy
