"""The reading room: look up similar past cases in the browser (Streamlit)."""
