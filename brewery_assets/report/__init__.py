"""brewery_report: a page, a picture and CSV files of the newest counts."""
