// Fetches a token as a Go workload does, with golang.org/x/oauth2/clientcredentials, and prints the result as JSON.
//
//	clientcredentials URL ID SECRET auto|header|params
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

var styles = map[string]oauth2.AuthStyle{
	"auto":   oauth2.AuthStyleAutoDetect,
	"header": oauth2.AuthStyleInHeader,
	"params": oauth2.AuthStyleInParams,
}

type outcome struct {
	AccessToken string `json:"access_token"`
	APIDomain   any    `json:"api_domain"`
	Seconds     int    `json:"seconds"`
	Status      int    `json:"status"`
	Error       string `json:"error"`
}

func main() {
	config := clientcredentials.Config{
		TokenURL: os.Args[1], ClientID: os.Args[2], ClientSecret: os.Args[3], AuthStyle: styles[os.Args[4]],
	}
	var found outcome
	token, err := config.Token(context.Background())
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		found.Status, found.Error = refused.Response.StatusCode, refused.ErrorCode
	case err != nil:
		found.Error = err.Error()
	default:
		found.AccessToken, found.APIDomain = token.AccessToken, token.Extra("api_domain")
		found.Seconds = int(time.Until(token.Expiry).Seconds())
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(1)
	}
}
