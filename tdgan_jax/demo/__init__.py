"""A local web page that shows what trained models recognise and generate."""
